# What people put into cron: each minute settings, rules and neighbours are looked at and put right.
# $1: the folder with the rules as they should be, rules.v4 and rules.v6.
want=$1
listed() { "$1-save" | grep -v '^#' | sed 's/\[[0-9:]*\]//'; }
while :; do
  sleep $((60 - $(date +%s) % 60))
  [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || sysctl -qw net.ipv4.ip_forward=1
  listed iptables | cmp -s - "$want/listed.v4" || iptables-restore <"$want/rules.v4"
  listed ip6tables | cmp -s - "$want/listed.v6" || ip6tables-restore <"$want/rules.v6"
  ip neigh show nud stale | while read -r address _ device _; do ip neigh del "$address" dev "$device"; done
done
