//! The quick way into a buffer: keys and values of exact types, encoded without a look back.
use super::{LARGE_BYTES, RecordBuffer};
use crate::emit::key_of;
use crate::quick;
use crate::table::Key;
use crate::trouble::Trouble;
use pyo3::ffi;

impl RecordBuffer {
    /// Take a record of exact types; None if it is not one. Returns whether the buffer is full.
    ///
    /// Nothing is borrowed while texts are encoded: the error of a lone surrogate, although it is
    /// dropped, may run the garbage collector, and that a finalizer which emits.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held, by the owner.
    #[inline]
    pub(super) unsafe fn take_quick(
        &self,
        key: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
    ) -> Result<Option<bool>, Trouble> {
        let settings = &self.settings;
        // SAFETY: it is an object, as the caller says.
        let plain_key = unsafe { key_of(key) };
        // SAFETY: we are the owner, and no code of the user runs until the scratch space is out.
        let inner = unsafe { &mut *self.inner.get() };
        // SAFETY: it is an object, as the caller says; an int runs no code when it is freed.
        let int =
            unsafe { inner.last.take(value) }.then_some((inner.last.value, inner.last.encoded));
        if let (Some(key), Some((value, encoded))) = (plain_key, int)
            && key.len() <= settings.key_bytes_max
        {
            inner.records.add_int(key, value, encoded)?;
            return Ok(Some(inner.records.is_full()));
        }
        let mut data = std::mem::take(&mut inner.scratch);
        data.clear();
        let (key, value) = (
            plain_key.is_none().then_some(key),
            int.is_none().then_some(value),
        );
        let sizes_max = (settings.value_bytes_max, settings.key_bytes_max);
        // SAFETY: they are objects, as the caller says.
        let value_size = unsafe { quick::append(&mut data, value, key, sizes_max) };
        // SAFETY: we are the owner, and all is encoded.
        let inner = unsafe { &mut *self.inner.get() };
        let taken = value_size.map_or(Ok(None), |value_size| {
            if value_size > LARGE_BYTES {
                return Ok(None); // others may have to make room
            }
            let (value, key) = data.split_at(value_size);
            let key = plain_key.unwrap_or_else(|| Key::new(key[0], &key[1..]));
            if key.len() > settings.key_bytes_max {
                return Ok(None);
            }
            match int {
                Some((value, encoded)) => inner.records.add_int(key, value, encoded)?,
                None => inner.records.add(key, value, None)?,
            }
            Ok(Some(inner.records.is_full()))
        });
        if data.capacity() <= LARGE_BYTES {
            inner.scratch = data;
        }
        taken
    }
}
