//! Memory that notices what a plugin does outside of its buffers.

use std::io;
use std::mem::size_of;
use std::ptr;

/// Elements before and after a [`Fenced`] buffer.
const FENCE: usize = 64;
/// What every byte of a fence is.
const PATTERN: u8 = 0xA5;

/// A buffer between two fences of known bytes: a write that goes a little too far is survived, and seen.
pub(super) struct Fenced<T> {
    storage: Vec<T>,
}

impl<T: Copy> Fenced<T> {
    pub fn new(values: &[T], filler: T) -> Self {
        let mut storage = vec![filler; FENCE];
        storage.extend_from_slice(values);
        storage.resize(values.len() + 2 * FENCE, filler);
        let last = storage.len() - FENCE;
        // SAFETY: `FENCE` elements at either end; `T` is a number, for which every pattern is a value.
        unsafe {
            storage.as_mut_ptr().cast::<u8>().write_bytes(PATTERN, FENCE * size_of::<T>());
            storage.as_mut_ptr().add(last).cast::<u8>().write_bytes(PATTERN, FENCE * size_of::<T>());
        }
        Self { storage }
    }

    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.storage[FENCE..].as_mut_ptr()
    }

    pub fn get(&self) -> &[T] {
        &self.storage[FENCE..self.storage.len() - FENCE]
    }

    /// What was written outside, if anything.
    pub fn breach(&self) -> Option<String> {
        // SAFETY: plain numbers, all of them initialised.
        let bytes = unsafe {
            std::slice::from_raw_parts(self.storage.as_ptr().cast::<u8>(), self.storage.len() * size_of::<T>())
        };
        let fence = FENCE * size_of::<T>();
        let (before, after) = (&bytes[..fence], &bytes[bytes.len() - fence..]);
        if let Some(last) = after.iter().rposition(|&byte| byte != PATTERN) {
            return Some(format!("wrote {} bytes past the end", last + 1));
        }
        let first = before.iter().position(|&byte| byte != PATTERN)?;
        Some(format!("wrote {} bytes before the start", fence - first))
    }
}

/// Which end of a [`Walled`] buffer touches a page that nobody may touch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wall {
    Before,
    After,
}

/// A buffer with an untouchable page right before or right after it: any access beyond kills the process at once.
pub(super) struct Walled<T> {
    map: *mut u8,
    map_len: usize,
    start: *mut T,
    len: usize,
}

impl<T: Copy> Walled<T> {
    /// # Errors
    /// The system gives no memory.
    pub fn new(values: &[T], wall: Wall) -> io::Result<Self> {
        // SAFETY: no arguments of ours.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let inner = size_of_val(values).div_ceil(page).max(1) * page;
        let map_len = inner + 2 * page;
        // SAFETY: a new private mapping.
        let map = unsafe {
            libc::mmap(ptr::null_mut(), map_len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = map.cast::<u8>();
        let offset = match wall {
            Wall::Before => page,
            Wall::After => page + inner - size_of_val(values),
        };
        // SAFETY: within the mapping; at a page's start, or a multiple of the element's size before a page's end.
        let start = unsafe { map.add(offset) }.cast::<T>();
        let walled = Self { map, map_len, start, len: values.len() };
        walled.protect(libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: just made writable, and as large.
        unsafe { start.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Ok(walled)
    }

    /// From now on a write to it kills the process.
    ///
    /// # Errors
    /// The system refuses.
    pub fn read_only(self) -> io::Result<Self> {
        self.protect(libc::PROT_READ)?;
        Ok(self)
    }

    fn protect(&self, how: libc::c_int) -> io::Result<()> {
        // SAFETY: no arguments of ours.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        // SAFETY: the pages between the two outer ones of our own mapping.
        let code = unsafe { libc::mprotect(self.map.add(page).cast(), self.map_len - 2 * page, how) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.start
    }

    pub fn get(&self) -> &[T] {
        // SAFETY: `len` initialised elements, readable throughout.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> Drop for Walled<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.map.cast(), self.map_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_outside_are_measured() {
        let mut fenced = Fenced::new(&[1.0_f64, 2.0], 0.0);
        assert_eq!((fenced.get(), fenced.breach()), (&[1.0, 2.0][..], None));
        // SAFETY: within the fence, which the buffer owns.
        unsafe { fenced.as_mut_ptr().add(2).write(7.0) };
        assert_eq!(fenced.breach().unwrap(), "wrote 8 bytes past the end");
        let mut fenced = Fenced::new(&[1_u32], 0);
        // SAFETY: as above.
        unsafe { fenced.as_mut_ptr().sub(1).write(7) };
        assert_eq!(fenced.breach().unwrap(), "wrote 4 bytes before the start");
    }

    #[test]
    fn walled_buffers_hold_their_values_at_either_end_of_a_page() {
        let values: Vec<f32> = (0..3000_u16).map(f32::from).collect();
        for wall in [Wall::Before, Wall::After] {
            for n in [0, 1, 17, 1024, 3000] {
                let mut walled = Walled::new(&values[..n], wall).unwrap();
                assert_eq!(walled.get(), &values[..n]);
                let address = walled.as_mut_ptr() as usize + if matches!(wall, Wall::After) { 4 * n } else { 0 };
                assert_eq!(address % 4096, 0);
                assert_eq!(walled.read_only().unwrap().get(), &values[..n]);
            }
        }
    }
}
