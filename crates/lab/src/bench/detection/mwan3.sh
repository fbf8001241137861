# What mwan3track of openwrt/packages does, with its defaults: an echo to the address, 4 s; a pause of
# 10 s; a score that falls with each round without an answer; down after five. The state is in $1.
state=$1 device=$2 address=$3
timeout=4 interval=10 down=5 up=5
score=$((down + up))
echo online >"$state"
while :; do
  if ping -I "$device" -c 1 -W $timeout -s 56 -t 60 -q "$address" >/dev/null 2>&1; then
    score=$((score + 1))
    [ $score -eq $up ] && echo online >"$state"
    [ $score -gt $up ] && score=$((down + up))
  else
    score=$((score - 1))
    [ $score -eq $up ] && echo offline >"$state"
    [ $score -le $up ] && score=0
  fi
  sleep $interval
done
