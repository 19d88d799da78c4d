//! pcapsy
fn main() {}
