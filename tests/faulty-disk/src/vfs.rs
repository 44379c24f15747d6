//! The VFS of the disk: a `sqlite3_vfs` that wraps the default one, and files that wrap its files.
//!
//! Functions that SQLite calls must not panic, because C can't unwind. All decisions are made in [`Shared`]; this
//! module translates.

use crate::image::{Change, SECTOR};
use crate::state::{Operation, Shared};
use rusqlite::ffi::*;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The kinds of files that are watched. All of them have a name.
const WATCHED: c_int =
    SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;

/// The kinds of files whose first sync also syncs their folder in SQLite's unix VFS.
const JOURNALS: c_int = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;

/// A VFS that is registered until this is dropped.
pub(crate) struct Registration {
    name: String,
    vfs: NonNull<sqlite3_vfs>,
}

// SAFETY: the pointer is only passed to SQLite's functions that register and unregister, which lock.
unsafe impl Send for Registration {}
// SAFETY: as above; shared references only read the name.
unsafe impl Sync for Registration {}

/// The data that the `sqlite3_vfs` of a disk points to. Both are leaked, because open connections use them; the images
/// of the disk are not.
struct Front {
    beneath: *mut sqlite3_vfs,
    shared: Weak<Shared>,
}

impl Registration {
    /// Registers a VFS. Returns `None` if SQLite refuses.
    pub(crate) fn new(shared: &Arc<Shared>) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("faulty-disk-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // SAFETY: a null name returns the default VFS, and SQLite initialises itself first if needed.
        let beneath = NonNull::new(unsafe { sqlite3_vfs_find(ptr::null()) })?;
        // SAFETY: SQLite returned it, and its built-in VFS is never freed.
        let (path, size) = unsafe { (beneath.as_ref().mxPathname, beneath.as_ref().szOsFile) };
        let front = Front { beneath: beneath.as_ptr(), shared: Arc::downgrade(shared) };
        let vfs = sqlite3_vfs {
            iVersion: 2,
            szOsFile: c_int::try_from(size_of::<File>()).ok()?.checked_add(size)?,
            mxPathname: path,
            pNext: ptr::null_mut(),
            zName: CString::new(name.as_str()).ok()?.into_raw(),
            pAppData: Box::into_raw(Box::new(front)).cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: Some(dl_open),
            xDlError: Some(dl_error),
            xDlSym: Some(dl_sym),
            xDlClose: Some(dl_close),
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(get_last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        let vfs = NonNull::from(Box::leak(Box::new(vfs)));
        // SAFETY: the struct is complete and never freed, so SQLite may keep it in its list.
        let code = unsafe { sqlite3_vfs_register(vfs.as_ptr(), 0) };
        (code == SQLITE_OK).then_some(Registration { name, vfs })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: `new` registered it. Open connections can still use it, because it is not freed.
        unsafe { sqlite3_vfs_unregister(self.vfs.as_ptr()) };
    }
}

/// The file as SQLite sees it. The file of the underlying VFS follows it in the same memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    handle: *mut Handle,
}

/// The part of an open file that has a destructor.
struct Handle {
    shared: Arc<Shared>,
    /// `None` for temporary files.
    path: Option<PathBuf>,
    /// Whether the next sync syncs the folder, too.
    syncs_folder: AtomicBool,
}

/// Returns the file of the underlying VFS.
///
/// # Safety
///
/// `file` points to as much memory as [`Registration::new`] asks for in `szOsFile`.
unsafe fn beneath(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the memory holds a `File` and what the VFS beneath asks for after it. That needs no more
    // alignment than a pointer has, as SQLite itself places files after each other like this.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// Returns the methods of the underlying file. They are null if it is not open.
///
/// # Safety
///
/// As [`beneath`], and the VFS beneath has filled in its part.
unsafe fn methods<'a>(file: *mut sqlite3_file) -> Option<&'a sqlite3_io_methods> {
    // SAFETY: the caller guarantees it, and the methods of a VFS are in constants.
    unsafe { (*beneath(file)).pMethods.as_ref() }
}

/// # Safety
///
/// `file` was opened by [`open`] and isn't closed before `'a` ends.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a Handle {
    // SAFETY: `open` left a pointer to a handle there that only `close` frees, and no one has it mutably.
    unsafe { &*(*file.cast::<File>()).handle }
}

/// # Safety
///
/// `vfs` was made by [`Registration::new`].
unsafe fn front<'a>(vfs: *mut sqlite3_vfs) -> &'a Front {
    // SAFETY: its data is a leaked `Front`.
    unsafe { &*(*vfs).pAppData.cast::<Front>() }
}

/// # Safety
///
/// `name` is null or a C string that lives for `'a`.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller guarantees it.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // The version with shared memory for the WAL, but without memory mapping.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives the VFS that it calls.
    let front = unsafe { front(vfs) };
    // SAFETY: the memory is at least a `File`. Without methods, SQLite doesn't close what failed to open.
    unsafe { (*file).pMethods = ptr::null() };
    // SAFETY: SQLite's file names are C strings or null.
    let path = unsafe { path(name) }.filter(|_| flags & WATCHED != 0);
    let Some(shared) = front.shared.upgrade().filter(|shared| !shared.lock().cut) else {
        return SQLITE_IOERR;
    };
    if path.is_some_and(|path| shared.watch(path, flags & SQLITE_OPEN_MAIN_DB != 0).is_err()) {
        return SQLITE_IOERR;
    }
    // SAFETY: the VFS beneath is never freed.
    let Some(open) = (unsafe { (*front.beneath).xOpen }) else { return SQLITE_IOERR };
    // SAFETY: the arguments are SQLite's own, and the memory of the file beneath is as large as its VFS asks.
    let code = unsafe { open(front.beneath, name, beneath(file), flags, out_flags) };
    if code != SQLITE_OK {
        // SAFETY: the VFS beneath has filled in its part. It leaves methods there if there is more to close.
        unsafe { close_beneath(file) };
        return code;
    }
    let syncs_folder = flags & SQLITE_OPEN_CREATE != 0 && flags & JOURNALS != 0;
    let path = path.map(Path::to_path_buf);
    let handle = Box::new(Handle { shared, path, syncs_folder: AtomicBool::new(syncs_folder) });
    let opened = File { base: sqlite3_file { pMethods: &METHODS }, handle: Box::into_raw(handle) };
    // SAFETY: the memory is at least a `File`, and has nothing yet that needs to be dropped.
    unsafe { file.cast::<File>().write(opened) };
    SQLITE_OK
}

/// # Safety
///
/// As [`methods`].
unsafe fn close_beneath(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the caller guarantees it.
    match unsafe { methods(file) }.and_then(|methods| methods.xClose) {
        // SAFETY: it has methods, so it is open.
        Some(close) => unsafe { close(beneath(file)) },
        None => SQLITE_OK,
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes each file that `open` opened once.
    let code = unsafe { close_beneath(file) };
    // SAFETY: `open` made the pointer from a box, and SQLite doesn't use the file any more.
    drop(unsafe { Box::from_raw((*file.cast::<File>()).handle) });
    code
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let (Ok(length), Ok(at), false) = (usize::try_from(amount), usize::try_from(offset), data.is_null())
    else {
        return SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite uses only files that are open.
    let (handle, methods) = unsafe { (handle(file), methods(file)) };
    let Some(write) = methods.and_then(|methods| methods.xWrite) else { return SQLITE_IOERR_WRITE };
    // SAFETY: SQLite writes `amount` bytes from `data`, which is not changed meanwhile.
    let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), length) };
    handle.shared.change(
        handle.path.as_deref(),
        Operation::Write,
        || Change::Write { at, bytes: bytes.to_vec() },
        // SAFETY: the file beneath is open, and the arguments are SQLite's own.
        || unsafe { write(beneath(file), data, amount, offset) },
    )
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let Ok(length) = usize::try_from(size) else { return SQLITE_IOERR_TRUNCATE };
    // SAFETY: SQLite uses only files that are open.
    let (handle, methods) = unsafe { (handle(file), methods(file)) };
    let Some(truncate) = methods.and_then(|methods| methods.xTruncate) else { return SQLITE_IOERR_TRUNCATE };
    handle.shared.change(
        handle.path.as_deref(),
        Operation::Truncate,
        || Change::Truncate(length),
        // SAFETY: the file beneath is open, and the arguments are SQLite's own.
        || unsafe { truncate(beneath(file), size) },
    )
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite uses only files that are open.
    let handle = unsafe { handle(file) };
    let syncs_folder = handle.syncs_folder.load(Ordering::Relaxed);
    let code = handle.shared.sync(handle.path.as_deref(), syncs_folder);
    if code == SQLITE_OK {
        handle.syncs_folder.store(false, Ordering::Relaxed);
    }
    code
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite gives the VFS that it calls, and a name that is a C string.
    let (front, path) = unsafe { (front(vfs), path(name)) };
    let (Some(shared), Some(path)) = (front.shared.upgrade(), path) else { return SQLITE_IOERR_DELETE };
    // SAFETY: the VFS beneath is never freed.
    let Some(delete) = (unsafe { (*front.beneath).xDelete }) else { return SQLITE_IOERR_DELETE };
    // SAFETY: the name is SQLite's own.
    shared.delete(path, sync_folder != 0, || unsafe { delete(front.beneath, name, sync_folder) })
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    SECTOR as c_int
}

unsafe extern "C" fn device_characteristics(_file: *mut sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite uses only files that are open.
    if let Some(barrier) = unsafe { methods(file) }.and_then(|methods| methods.xShmBarrier) {
        // SAFETY: the file beneath is open.
        unsafe { barrier(beneath(file)) };
    }
}

/// Defines methods that are passed to the underlying file, each with the error for a VFS without the method.
macro_rules! files_pass {
    ($(fn $name:ident($($arg:ident: $type:ty),*) = $method:ident, else $error:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($arg: $type),*) -> c_int {
            // SAFETY: SQLite uses only files that are open.
            match unsafe { methods(file) }.and_then(|methods| methods.$method) {
                // SAFETY: the file beneath is open, and the arguments are SQLite's own.
                Some(method) => unsafe { method(beneath(file), $($arg),*) },
                None => $error,
            }
        }
    )*};
}

files_pass! {
    fn read(data: *mut c_void, amount: c_int, offset: sqlite3_int64) = xRead, else SQLITE_IOERR_READ;
    fn file_size(size: *mut sqlite3_int64) = xFileSize, else SQLITE_IOERR_FSTAT;
    fn lock(level: c_int) = xLock, else SQLITE_IOERR_LOCK;
    fn unlock(level: c_int) = xUnlock, else SQLITE_IOERR_UNLOCK;
    fn check_reserved_lock(out: *mut c_int) = xCheckReservedLock, else SQLITE_IOERR_CHECKRESERVEDLOCK;
    fn file_control(op: c_int, arg: *mut c_void) = xFileControl, else SQLITE_NOTFOUND;
    fn shm_map(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) = xShmMap,
        else SQLITE_IOERR_SHMMAP;
    fn shm_lock(offset: c_int, count: c_int, flags: c_int) = xShmLock, else SQLITE_IOERR_SHMLOCK;
    fn shm_unmap(delete: c_int) = xShmUnmap, else SQLITE_OK;
}

/// The function of an extension's library.
type Symbol = Option<unsafe extern "C" fn(*mut sqlite3_vfs, *mut c_void, *const c_char)>;

/// Defines methods that are passed to the underlying VFS, each with the result for a VFS without the method.
macro_rules! vfs_passes {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty = $method:ident, else $missing:expr;)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut sqlite3_vfs, $($arg: $type),*) -> $out {
            // SAFETY: SQLite gives the VFS that it calls.
            let front = unsafe { front(vfs) };
            // SAFETY: the VFS beneath is never freed.
            match unsafe { (*front.beneath).$method } {
                // SAFETY: the arguments are SQLite's own.
                Some(method) => unsafe { method(front.beneath, $($arg),*) },
                None => $missing,
            }
        }
    )*};
}

vfs_passes! {
    fn access(name: *const c_char, flags: c_int, out: *mut c_int) -> c_int = xAccess,
        else SQLITE_IOERR_ACCESS;
    fn full_pathname(name: *const c_char, size: c_int, out: *mut c_char) -> c_int = xFullPathname,
        else SQLITE_CANTOPEN;
    fn dl_open(name: *const c_char) -> *mut c_void = xDlOpen, else ptr::null_mut();
    fn dl_error(size: c_int, message: *mut c_char) -> () = xDlError, else ();
    fn dl_sym(library: *mut c_void, name: *const c_char) -> Symbol = xDlSym, else None;
    fn dl_close(library: *mut c_void) -> () = xDlClose, else ();
    fn randomness(size: c_int, out: *mut c_char) -> c_int = xRandomness, else 0;
    fn sleep(microseconds: c_int) -> c_int = xSleep, else 0;
    fn current_time(out: *mut f64) -> c_int = xCurrentTime, else SQLITE_ERROR;
    fn get_last_error(size: c_int, message: *mut c_char) -> c_int = xGetLastError, else 0;
    fn current_time_int64(out: *mut sqlite3_int64) -> c_int = xCurrentTimeInt64, else SQLITE_ERROR;
}
