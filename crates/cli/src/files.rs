//! Files: read up to a size, written whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::CliError;

/// The most bytes the file with a token may have.
const MAX_TOKEN: u64 = 4_096;

/// Reads a file of a bounded size. Of what is no file nobody knows whether anything comes, or an end: a
/// pipe that nobody writes to would be waited for as soon as it is opened. One that a shell has opened
/// already is read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let kind = fs::metadata(path).map_err(CliError::io(path))?;
    let is_open = path.starts_with("/dev/fd") || path == Path::new("/dev/stdin");
    if kind.is_dir() {
        return Err(CliError::io(path)(ErrorKind::IsADirectory.into()));
    }
    if !kind.is_file() && !is_open {
        return Err(CliError::Input(format!("{}: this is no file", path.display())));
    }
    let too_long = || CliError::Input(format!("{}: more than {limit} bytes", path.display()));
    let file = File::open(path).map_err(CliError::io(path))?;
    if file.metadata().is_ok_and(|metadata| metadata.len() > limit) {
        return Err(too_long());
    }
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(CliError::io(path))?;
    if content.len() as u64 > limit { Err(too_long()) } else { Ok(content) }
}

/// Reads a text of a bounded size.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, CliError> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| CliError::Input(format!("{}: this is no text", path.display())))
}

/// Reads a bearer token.
pub(crate) fn read_token(path: &Path) -> Result<String, CliError> {
    match read_text(path, MAX_TOKEN)?.trim() {
        "" => Err(CliError::Input(format!("{}: the token is empty", path.display()))),
        token => Ok(token.to_owned()),
    }
}

/// Makes a folder that only its owner can look into. One that exists is left as it is.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Who can read a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Readers {
    Everybody,
    Owner,
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, content: &[u8], readers: Readers) -> Result<(), CliError> {
    let draft = draft(path, content, readers)?;
    draft.persist_noclobber(path).map_err(|e| CliError::Io(path.to_path_buf(), e.error))?;
    sync_folder(path)
}

/// Writes a file, in place of one that may exist.
pub(crate) fn replace(path: &Path, content: &[u8], readers: Readers) -> Result<(), CliError> {
    let draft = draft(path, content, readers)?;
    draft.persist(path).map_err(|error| CliError::Io(path.to_path_buf(), error.error))?;
    sync_folder(path)
}

/// How much of two files shows that they are of one kind.
const KIND: usize = 16;

/// Writes a file, in place of nothing, of an empty file, or of one of its own kind: that begins with
/// the same bytes. What is no regular file, such as `/dev/stdout`, is written to.
pub(crate) fn replace_alike(path: &Path, content: &[u8], readers: Readers) -> Result<(), CliError> {
    let kind = content.get(..KIND.min(content.len())).unwrap_or_default();
    match target(path, kind, "of another kind")? {
        Target::Stream => fs::write(path, content).map_err(CliError::io(path)),
        Target::File => replace(path, content, readers),
    }
}

/// Finds out that [`replace_alike`] can write a file of `kind`, its first bytes, before there is one.
pub(crate) fn check_replaceable(path: &Path, kind: &[u8; KIND]) -> Result<(), CliError> {
    match target(path, kind, "of another kind")? {
        Target::Stream => Ok(()),
        Target::File => {
            // Made, and removed again.
            NamedTempFile::new_in(folder_of(path)).map(drop).map_err(CliError::io(path))
        }
    }
}

/// Whether two paths name one file, as far as they say.
pub(crate) fn are_one(a: &Path, b: &Path) -> bool {
    a == b || std::path::absolute(a).is_ok_and(|a| std::path::absolute(b).is_ok_and(|b| a == b))
}

/// What a path that may be written to is.
enum Target {
    /// No regular file, such as `/dev/stdout`.
    Stream,
    /// A file, or nothing yet.
    File,
}

/// Says what a path is, unless it is a folder, or a file with content that does not begin with `kind`:
/// the error says that it is `other`.
fn target(path: &Path, kind: &[u8], other: &str) -> Result<Target, CliError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(CliError::io(path)(std::io::ErrorKind::IsADirectory.into()))
        }
        Ok(found) if !found.is_file() => Ok(Target::Stream),
        Ok(found) if found.len() > 0 && !begins_with(path, kind) => {
            let path = path.display();
            let message = format!("{path}: exists and is {other}, so it is not replaced");
            Err(CliError::Input(message))
        }
        _ => Ok(Target::File),
    }
}

fn begins_with(path: &Path, kind: &[u8]) -> bool {
    let mut start = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(kind.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == kind
}

/// How a bundle begins.
const BUNDLE: &[u8] = br#"{"mediaType":"application/vnd.assay.bundle."#;

/// The file of a bundle, to be written once there is one: that it can be is found out before. In place
/// of an older bundle it may be, and of nothing else.
pub(crate) struct OutFile {
    path: PathBuf,
    /// None where the path is no regular file, such as `/dev/stdout`.
    draft: Option<NamedTempFile>,
}

impl OutFile {
    pub(crate) fn prepare(path: &Path) -> Result<Self, CliError> {
        let draft = match target(path, BUNDLE, "no bundle")? {
            Target::Stream => None,
            Target::File => {
                Some(NamedTempFile::new_in(folder_of(path)).map_err(CliError::io(path))?)
            }
        };
        Ok(Self { path: path.to_path_buf(), draft })
    }

    pub(crate) fn write(self, content: &[u8]) -> Result<(), CliError> {
        let Self { path, draft } = self;
        match draft {
            None => fs::write(&path, content).map_err(CliError::io(path)),
            Some(mut draft) => {
                draft.write_all(content).map_err(CliError::io(&path))?;
                draft.persist(&path).map_err(|error| CliError::Io(path, error.error))?;
                Ok(())
            }
        }
    }
}

fn draft(path: &Path, content: &[u8], readers: Readers) -> Result<NamedTempFile, CliError> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(match readers {
        Readers::Everybody => 0o644,
        Readers::Owner => 0o600,
    });
    #[cfg(unix)]
    builder.permissions(permissions);
    #[cfg(not(unix))]
    let _ = readers;
    let mut draft = builder.tempfile_in(folder_of(path)).map_err(CliError::io(path))?;
    draft.write_all(content).map_err(CliError::io(path))?;
    draft.as_file().sync_all().map_err(CliError::io(path))?;
    Ok(draft)
}

/// Puts a new name on the disk too, so that a loss of power does not take it back.
fn sync_folder(path: &Path) -> Result<(), CliError> {
    #[cfg(unix)]
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(CliError::io(path))?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        assert!(read(&path, 3).unwrap_err().to_string().ends_with("more than 3 bytes"));
        // Neither a device has an end, nor a pipe that nobody writes to.
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [Path::new("/dev/zero"), &pipe] {
            assert!(read(path, 3).unwrap_err().to_string().ends_with("this is no file"));
        }
        let told = read(folder.path(), 3).unwrap_err().to_string();
        assert!(told.ends_with("this is a folder, not a file"), "{told}");
        fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path, 4).unwrap_err().to_string().ends_with("this is no text"));
    }

    #[test]
    fn new_files_do_not_replace_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, b"1", Readers::Owner).unwrap();
        assert!(matches!(write_new(&path, b"2", Readers::Owner), Err(CliError::Io(..))));
        assert_eq!(fs::read(&path).unwrap(), b"1");
        replace(&path, b"3", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn where_nothing_can_be_written_is_found_out_before() {
        let folder = tempfile::tempdir().unwrap();
        assert!(OutFile::prepare(folder.path()).is_err());
        assert!(OutFile::prepare(&folder.path().join("none/out")).is_err());
        let path = folder.path().join("out");
        drop(OutFile::prepare(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        OutFile::prepare(&path).unwrap().write(BUNDLE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), BUNDLE);
    }

    #[test]
    fn files_of_another_kind_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.key");
        let model = b"assay-zkml-model and more";
        for kept in [b"0x77".as_slice(), b"assay-zkml-proof and more"] {
            fs::write(&path, kept).unwrap();
            let error = replace_alike(&path, model, Readers::Everybody).unwrap_err();
            assert!(error.to_string().contains("is of another kind"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), kept);
        }
        for replaced in [b"".as_slice(), b"assay-zkml-model"] {
            fs::write(&path, replaced).unwrap();
            replace_alike(&path, model, Readers::Everybody).unwrap();
            assert_eq!(fs::read(&path).unwrap(), model);
        }
        assert!(replace_alike(folder.path(), model, Readers::Everybody).is_err());
        let kind = |kind| check_replaceable(&path, kind).is_ok();
        assert!(kind(b"assay-zkml-model") && !kind(b"assay-zkml-proof"));
        assert!(check_replaceable(&folder.path().join("none/f"), b"assay-zkml-model").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(are_one(Path::new("./f"), Path::new("f")) && !are_one(Path::new("e"), &path));
    }

    #[test]
    fn only_bundles_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.key");
        for kept in [b"0x77".as_slice(), br#"{"mediaType":"application/json"}"#] {
            fs::write(&path, kept).unwrap();
            let Err(error) = OutFile::prepare(&path) else { panic!("{kept:?} is replaced") };
            assert!(error.to_string().ends_with("is no bundle, so it is not replaced"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), kept);
        }
        for replaced in [b"".as_slice(), BUNDLE] {
            fs::write(&path, replaced).unwrap();
            OutFile::prepare(&path).unwrap().write(b"1").unwrap();
        }
    }
}
