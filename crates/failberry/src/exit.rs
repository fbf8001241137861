//! Exit codes. 64 and up are those of sysexits.h, where scripts look for them.

/// All is well.
pub const OK: u8 = 0;
/// `status`: works, but not as it should, or part of it is unknown; `modem`: not connected;
/// `modem at`: the stick answered with an error; `dns`: something cannot be set up, or was refused.
pub const DEGRADED: u8 = 1;
/// `status`: something does not work; `dns plan`: there are changes to be made.
pub const FAILED: u8 = 2;
/// `EX_USAGE`: a word on the command line we do not know.
pub const USAGE: u8 = 64;
/// `EX_NOINPUT`: the file cannot be read.
pub const NO_INPUT: u8 = 66;
/// `EX_UNAVAILABLE`: the daemon that is asked is not there.
pub const UNAVAILABLE: u8 = 69;
/// `EX_IOERR`: the system refused a read or write.
pub const IO: u8 = 74;
/// `EX_NOPERM`: only root may do this.
pub const NO_PERMISSION: u8 = 77;
/// `EX_CONFIG`: the configuration is invalid.
pub const CONFIG: u8 = 78;
