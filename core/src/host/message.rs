//! The buffer that plugins write their messages into.

use std::ffi::{CStr, c_char};

use crate::abi::{self, RawMessage};

/// A buffer for one call.
pub(super) struct Message([c_char; 512]);

impl Message {
    pub fn new() -> Self {
        Self([0; 512])
    }

    pub fn raw(&mut self) -> RawMessage {
        RawMessage { data: self.0.as_mut_ptr(), size: self.0.len() }
    }

    /// The text, or what `code` means where there is none.
    pub fn text(mut self, code: i32) -> String {
        self.0[self.0.len() - 1] = 0;
        // SAFETY: the last byte is NUL.
        let text = unsafe { CStr::from_ptr(self.0.as_ptr()) }.to_string_lossy().into_owned();
        match (text.is_empty(), code) {
            (false, _) => text,
            (true, 0) => format!("returned 0, which is no success (that is {:#x})", abi::OK),
            (true, code) => format!("failed without a message (code {code})"),
        }
    }
}
