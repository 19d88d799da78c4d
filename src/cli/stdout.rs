//! Standard output, when there is one.
//!
//! Before `main`, Rust opens /dev/null in place of a closed descriptor: what a program prints would vanish
//! without an error. So the question is asked earlier.

use std::io;

/// Standard output.
///
/// # Errors
/// When it was closed at the start.
pub(super) fn stdout() -> io::Result<io::Stdout> {
    #[cfg(target_os = "linux")]
    if CLOSED.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    Ok(io::stdout())
}

#[cfg(target_os = "linux")]
static CLOSED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

// SAFETY: the function makes one system call and sets one atomic; neither needs what Rust sets up before
// `main`.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "nothing safe runs before main")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn look() {
        let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
        CLOSED.store(closed, std::sync::atomic::Ordering::Relaxed);
    }
    look
};
