//! What the system knows of a task process: its threads, and the tie to what started it.

/// What the kernel sends to a task process whose parent has ended: a signal that nobody else uses.
#[cfg(target_os = "linux")]
fn orphaned() -> libc::c_int {
    libc::SIGRTMAX() - 3
}

/// End this process and all that it has started, if it leads its group: processes of user code.
///
/// Runs as a signal handler, also while user code holds the interpreter: system calls only.
#[cfg(target_os = "linux")]
extern "C" fn end_group(_signal: libc::c_int) {
    // SAFETY: these calls are safe in a signal handler, and take plain numbers.
    unsafe {
        let leads = libc::getpgrp() == libc::getpid();
        libc::kill(if leads { 0 } else { libc::getpid() }, libc::SIGKILL);
    }
}

/// Ask the system to end this process, and those it has started, when the thread that started it
/// ends.
///
/// Returns whether it will: only Linux can (`PR_SET_PDEATHSIG`). The signal is not SIGKILL, which
/// would leave alone what user code has started; without its handler it ends this process all the
/// same. A parent that is gone already is not noticed; the caller compares `os.getppid()`
/// afterwards.
#[cfg(target_os = "linux")]
pub fn die_with_parent() -> bool {
    // SAFETY: the action is a zeroed struct, valid as such, with a handler of the right type;
    // the option of prctl takes plain numbers. Neither touches memory of ours.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end_group as *const () as libc::sighandler_t;
        libc::sigaction(orphaned(), &raw const action, std::ptr::null_mut()) == 0
            && libc::prctl(libc::PR_SET_PDEATHSIG, orphaned() as libc::c_ulong, 0, 0, 0) == 0
    }
}

/// Does nothing, and says so.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent() -> bool {
    false
}

/// Become the parent of processes that this one has started and whose own parent ends.
///
/// Returns whether it will: only Linux can (`PR_SET_CHILD_SUBREAPER`).
#[cfg(target_os = "linux")]
pub fn adopt_orphans() -> bool {
    // SAFETY: the option takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, 0, 0, 0) == 0 }
}

/// Does nothing, and says so.
#[cfg(not(target_os = "linux"))]
pub fn adopt_orphans() -> bool {
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

/// Write what C code has printed and its library still holds.
pub fn flush_c_streams() {
    // SAFETY: a null pointer stands for all streams.
    unsafe {
        libc::fflush(std::ptr::null_mut());
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
