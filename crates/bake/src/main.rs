//! bake

pub mod initramfs;
pub mod uboot;

fn main() {}
