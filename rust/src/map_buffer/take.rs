//! The quick way into a buffer: keys and values of exact types, encoded without a look back.
use super::{Inner, LARGE_BYTES, Settings};
use crate::emit::key_of;
use crate::quick::Quick;
use crate::table::Key;
use crate::trouble::Trouble;
use pyo3::ffi;

impl Inner {
    /// Take a record of exact types; None if it is not one. Returns whether the buffer is full.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held.
    #[inline]
    pub(super) unsafe fn take_quick(
        &mut self,
        key: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        settings: &Settings,
    ) -> Result<Option<bool>, Trouble> {
        let data = &mut self.scratch;
        data.clear();
        // SAFETY: as the caller says.
        unsafe {
            let is_int = self.last.take(value);
            if !is_int
                && Quick::new(data, settings.value_bytes_max)
                    .value(value)
                    .is_none()
            {
                return Ok(None);
            }
            let value_size = data.len();
            if value_size > LARGE_BYTES {
                return Ok(None); // others may have to make room
            }
            let key = match key_of(key) {
                Some(key) => key,
                None => {
                    let mut quick = Quick::new(data, settings.key_bytes_max);
                    if quick.tuple_key(key).is_none() {
                        return Ok(None);
                    }
                    Key::new(data[value_size], &data[value_size + 1..])
                }
            };
            if key.len() > settings.key_bytes_max {
                return Ok(None);
            }
            if is_int {
                self.records
                    .add_int(key, self.last.value, self.last.encoded)?;
            } else {
                self.records.add(key, &data[..value_size], None)?;
            }
        }
        if self.scratch.capacity() > LARGE_BYTES {
            self.scratch = Vec::new();
        }
        Ok(Some(self.records.is_full()))
    }
}
