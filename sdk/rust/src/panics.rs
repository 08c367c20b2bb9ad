//! What a native library does with a panic: keeps its words for the log of the call, and writes them nowhere else, because a sandbox that writes to a file
//! is ended for it. (A module has no panics to keep: they are traps.)
use std::any::Any;
use std::cell::RefCell;
use std::panic;

/// Longest text kept of one panic.
const TEXT_BYTES_MAX: usize = 512;

thread_local! {
    static LAST: RefCell<String> = RefCell::new(String::new());
}

/// From now on a panic is noted instead of printed. Called by `init`, before any hook.
pub(crate) fn keep_quiet() {
    panic::set_hook(Box::new(|panic| {
        let mut text = panic.to_string().replace('\n', " ");
        while text.len() > TEXT_BYTES_MAX {
            text.pop();
        }
        LAST.with(|last| *last.borrow_mut() = text);
    }));
}

/// The words of the last panic and its place, once.
pub(crate) fn take() -> String {
    LAST.with(|last| last.take())
}

/// Drops what a panic carried. A payload may panic when it is dropped, and would do so beyond the border: one that does is leaked.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
