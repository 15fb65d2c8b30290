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
