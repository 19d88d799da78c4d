//! Arguments in, one command run, exit code out.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// Flows are made of many small pieces that are freed by another thread than the one that made them. The
/// second version of mimalloc and small pages take a fifth less memory than its defaults, for the same time.
/// When the system has no more memory, the run ends with a word and an exit code instead of a signal.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: every call goes to mimalloc as it came; what mimalloc promises is promised. A run that ends inside
// a call keeps no promise to anybody.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        or_end(unsafe { MiMalloc.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { MiMalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { MiMalloc.realloc(place, layout, size) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(place, layout) }
    }
}

/// The memory there is, or the end of the run.
#[inline]
fn or_end(place: *mut u8) -> *mut u8 {
    if place.is_null() {
        pcapsy::cli::out_of_memory();
    }
    place
}

fn main() -> pcapsy::cli::Exit {
    pcapsy::cli::run()
}
