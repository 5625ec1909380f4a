//! The data file: checks that it is the laptop cloud's, locks it for this process, and makes it private.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use dynoxide::Database;
use rusqlite::{Connection, OpenFlags};

use crate::{access::make_private, error::StartError};

/// Marks a file as the laptop cloud's ("LAPC"; <https://www.sqlite.org/fileformat.html#application_id>).
const APPLICATION_ID: u32 = 0x4c41_5043;
const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// A database whose first tables are still in its write-ahead log is smaller than this.
const UNCHECKPOINTED_BYTES: u64 = 1024 * 1024;

/// The lock on the data; other processes can open it once this is dropped.
pub(crate) struct Data {
    _lock: Option<File>,
}

/// Opens the database in a file, or in memory.
pub(crate) fn open(path: Option<&Path>) -> Result<(Database, Data), StartError> {
    match path {
        Some(path) => open_file(path).map_err(|problem| StartError::Data(format!("{}: {problem}", path.display()))),
        None => {
            // A named in-memory database can be opened twice (https://www.sqlite.org/inmemorydb.html#sharedmemdb).
            let place = format!("file:{}?mode=memory&cache=shared", uuid::Uuid::new_v4().simple());
            let database = connect(&place).map_err(|error| StartError::Data(error.to_string()))?;
            Ok((database, Data { _lock: None }))
        }
    }
}

fn open_file(path: &Path) -> Result<(Database, Data), String> {
    let path = absolute(path).map_err(|error| error.to_string())?;
    // Before a lock file is created beside it.
    owner(&path)?;
    let lock = lock(&beside(&path, ".lock"))?;
    // Another process may have created or marked it meanwhile.
    if owner(&path)? == Owner::Unmarked {
        mark(&path)?;
    }
    for path in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
        match make_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|error| error.to_string())?,
        }
    }
    let database = connect(&path.to_string_lossy()).map_err(|error| error.to_string())?;
    Ok((database, Data { _lock: Some(lock) }))
}

/// Opens the database. Adds an index for the streams, without which writes slow down as records accumulate, and deletes
/// stream records that are older than a day, as AWS does.
fn connect(place: &str) -> Result<Database, Box<dyn std::error::Error>> {
    let database = Database::new(place)?;
    // This sets `synchronous = NORMAL`: with a write-ahead log, commits need not wait for the disk to survive the end of
    // the process, only to survive a power failure (https://www.sqlite.org/pragma.html#pragma_synchronous).
    database.disable_bulk_loading()?;
    let streams = "CREATE INDEX IF NOT EXISTS laptop_cloud_streams
                       ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
                   DELETE FROM _stream_records WHERE created_at < unixepoch() - 24 * 3600;";
    Connection::open(place)?.execute_batch(streams)?;
    Ok(database)
}

/// The canonical path of a file that may not exist.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or(error)?;
            Ok(folder.canonicalize()?.join(name))
        }
        other => other,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Locks a separate file, since closing a second handle on a database releases SQLite's locks
/// (<https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).
fn lock(path: &Path) -> Result<File, String> {
    let file = create(path).map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another process is using it".to_owned()),
        Err(TryLockError::Error(error)) => Err(format!("it cannot be locked: {error}")),
    }
}

/// Opens a file for writing. Only its owner may read a new one.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[derive(PartialEq, Eq)]
enum Owner {
    LaptopCloud,
    /// The file does not exist, is empty, or is from an earlier version.
    Unmarked,
}

/// The owner of this file. Changes nothing in or beside it. A file of another program is an error.
fn owner(path: &Path) -> Result<Owner, String> {
    let mut header = Vec::new();
    match File::open(path).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header)) {
        Ok(0) => return Ok(Owner::Unmarked),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Unmarked),
        Err(error) => return Err(error.to_string()),
    }
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err("it is not a database, and is left as it is".to_owned());
    }
    let application_id = u32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    let ours = match application_id {
        APPLICATION_ID => return Ok(Owner::LaptopCloud),
        0 => has_our_tables(path).map_err(|error| error.to_string())?,
        _ => false,
    };
    if ours { Ok(Owner::Unmarked) } else { Err("it is another program's database, and is left as it is".to_owned()) }
}

/// Whether this database has the engine's tables.
fn has_our_tables(path: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    // With this flag SQLite neither locks nor creates anything (https://www.sqlite.org/uri.html#uriimmutable).
    let encoded = percent_encoding::utf8_percent_encode(&path.to_string_lossy(), PATH).to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    if engine_tables(&Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags)?) {
        return Ok(true);
    }
    // If a process was killed early, all it wrote may be in the write-ahead log, which `immutable` ignores; so open a
    // copy.
    let log = beside(path, "-wal");
    if fs::metadata(path)?.len() > UNCHECKPOINTED_BYTES || !log.exists() {
        return Ok(false);
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy");
    fs::copy(path, &copy)?;
    fs::copy(log, beside(&copy, "-wal"))?;
    Ok(engine_tables(&Connection::open(&copy)?))
}

const PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%').add(b'?').add(b'#');

fn engine_tables(connection: &Connection) -> bool {
    let count = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('_tables', '_stream_records')";
    connection.query_row(count, [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count == 2)
}

fn mark(path: &Path) -> Result<(), String> {
    drop(create(path).map_err(|error| error.to_string())?);
    make_private(path).map_err(|error| error.to_string())?;
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(|error| error.to_string())
}
