# Failberry's boot script, run by U-Boot from boot.scr on the FAT partition.
# Picks a slot, reads kernel, device tree and initramfs from its squashfs, starts Linux.
#
# Kept in the environment (two raw copies on the card), in RAUC's names:
#   BOOT_ORDER    slots, the wanted one first           default "A B"
#   BOOT_A_LEFT   tries left for slot A                 default 3
#   BOOT_B_LEFT   tries left for slot B                 default 3
#   BOOT_COUNT    yes: every boot takes a try from its slot. Only when the running system gives
#                 tries back after a good boot (RAUC's mark-good) may this be set.
#
# Our own addresses, because the defaults leave 35 MiB for a kernel that needs 37.
# Kept free: 0..2 MiB (spin table of the secondary cores, U-Boot's load address 0x80000) and the
# firmware's device tree (QEMU: 0x8000000; firmware: near the top of the memory it gives to the ARM).
# U-Boot itself runs at the top. All of it fits the 448 MiB of a Zero 2 W.
# The kernel: 2 MiB aligned, so booti need not move it, room for 64 MiB.
kernel_at=0x00200000
fdt_at=0x05000000
# The initramfs: room for 45 MiB below QEMU's device tree.
initramfs_at=0x05200000
# The kernel's decompressed copy, before booti moves it to kernel_at.
setenv kernel_comp_addr_r 0x0a000000

echo "failberry: u-boot script started"

# A file boot.env beside this script may add kernel arguments for this card, in one line such as
# extra_args=systemd.log_level=debug
setenv extra_args ""
if test -e mmc 0:1 boot.env; then
  load mmc 0:1 ${fdt_at} boot.env
  env import -t ${fdt_at} ${filesize} extra_args
  echo "failberry: boot.env adds ${extra_args}"
fi
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

# Saves the counters without the firmware's board facts: stored, these would follow the card into another
# Pi, because U-Boot keeps what it finds set. They come back right after for booti's fixups.
setenv save_counters 'k_file=${fdtfile}; k_fdt=${fdt_addr}; k_mac=${ethaddr}; k_serial=${serial#}; env delete -f fdtfile fdt_addr ethaddr usbethaddr serial#; saveenv; setenv fdtfile ${k_file}; setenv fdt_addr ${k_fdt}; setenv ethaddr ${k_mac}; setenv serial# ${k_serial}'

for slot in ${BOOT_ORDER}; do
  tries=0; part=0; name=none
  if test "${slot}" = "A"; then tries=${BOOT_A_LEFT}; part=2; name=a; fi
  if test "${slot}" = "B"; then tries=${BOOT_B_LEFT}; part=3; name=b; fi
  if test ${tries} -gt 0; then
    echo "failberry: slot ${name}, ${tries} tries left"
    if test "${BOOT_COUNT}" = "yes"; then
      # straight into its variable: setexpr always writes the environment, which hides shell variables
      setexpr BOOT_${slot}_LEFT ${tries} - 1
      run save_counters
    fi
    if load mmc 0:${part} ${kernel_at} /boot/vmlinuz; then
      # booti decompresses this many bytes
      setenv kernel_comp_size ${filesize}
      # The slot's device tree fits the slot's kernel; ft_board_setup() and fdt_fixup_ethernet() carry
      # over what the firmware knows (MAC, serial, memory, CMA). A board we have no file for boots with
      # the firmware's own tree.
      if load mmc 0:${part} ${fdt_at} /boot/dtbs/${fdtfile}; then dtb=${fdt_at}; else dtb=${fdt_addr}; echo "failberry: no ${fdtfile} in slot ${name}, using the device tree of the firmware"; fi
      if load mmc 0:${part} ${initramfs_at} /boot/initramfs.img; then
        setenv bootargs "console=tty0 console=ttyS1,115200 failberry.slot=${name} net.ifnames=0 panic=10 quiet ${extra_args}"
        echo "failberry: starting linux from slot ${name}"
        booti ${kernel_at} ${initramfs_at}:${filesize} ${dtb}
      fi
    fi
    echo "failberry: slot ${name} does not boot"
  fi
done

# Nothing boots. Tries are given back, so that a passing trouble (a card that answered late) never
# ends in a box that stays off; bootcmd resets after this script returns.
echo "failberry: no slot left, giving all slots their tries back"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
run save_counters
