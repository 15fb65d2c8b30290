//! What the system knows of a task process: its threads, and the tie to what started it.

/// Ask the system to kill this process when the thread that started it ends.
///
/// Returns whether it will: only Linux can (`PR_SET_PDEATHSIG`). A parent that is gone already is
/// not noticed; the caller compares `os.getppid()` afterwards.
#[cfg(target_os = "linux")]
pub fn die_with_parent() -> bool {
    // SAFETY: this option takes plain numbers and touches no memory of ours.
    unsafe {
        libc::prctl(
            libc::PR_SET_PDEATHSIG,
            libc::SIGKILL as libc::c_ulong,
            0,
            0,
            0,
        ) == 0
    }
}

/// Does nothing, and says so.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent() -> bool {
    false
}

/// The ident of the current thread, as `threading.get_ident` has it.
#[inline(always)]
pub fn thread() -> usize {
    // SAFETY: it has no conditions.
    unsafe { libc::pthread_self() as usize }
}

// A list that is freed beyond this size is given back at once. glibc would let this grow to 32 MiB,
// and keep twice as much; smaller ones are read and written by the hundred, and the kernel clears
// every page that it gives again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES_MAX: libc::c_int = 2 << 20;

/// Give memory that is freed back to the system soon, since what is kept counts as used.
///
/// Called once, early: it holds from then on. Does nothing where the allocator is not glibc's.
pub fn keep_little_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these options take plain numbers; what they refuse stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES_MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * KEPT_BYTES_MAX);
        libc::mallopt(libc::M_ARENA_MAX, 2); // threads of the user's have what is free together
    }
}

/// Give back what is free in the middle of the heap, too.
pub fn trim_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it has no conditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
