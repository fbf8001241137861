//! The initramfs's `/init`. See the library for what it does.

use std::env;
use std::process::ExitCode;

use early_init::{boot, linux};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mode, root, program @ ..] = arguments.as_slice()
        && mode == linux::IN_ROOT
    {
        eprintln!("early-init: {}", linux::exec_in_root(root, program));
        return ExitCode::from(linux::EXEC_FAILED);
    }
    if std::process::id() != 1 {
        eprintln!("early-init: this is the init of an initramfs and starts as process 1 only");
        return ExitCode::FAILURE;
    }
    linux::reboot_on_panic();
    boot::run(&mut linux::Linux::default());
    // Only when even the reboot failed: the kernel panics, and `panic=` on its command line reboots.
    ExitCode::FAILURE
}
