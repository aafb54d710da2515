//! How a process that lives long keeps little memory.
//!
//! glibc keeps what is freed, in an arena a few threads, and the more so the larger the buffers were: after some minutes
//! of landing, rolling up and querying, `up` held twice what it used. Here what is large goes back at once.

/// Arenas that threads share: more of them are quicker under contention that we don't have, and each keeps its own.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;
/// Buffers from this size on are the system's, and its again when they are freed: columns of a batch, not single rows.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: i32 = 256 * 1024;

/// Must come before the first thread.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    let set = unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS)
            & libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES)
            & libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BYTES)
    };
    debug_assert_eq!(set, 1, "glibc knows these parameters");
}

/// Other allocators have other ways.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
