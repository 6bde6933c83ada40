//! Backups in a bucket: `ID.vfb`, and `ID.vfb.sha256`, which comes last: a backup without it is none, for an object is seen from its
//! last byte on, but nobody has read it back yet. It is left alone: somebody may have copied it there.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use parking_lot::Mutex;
use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::{BackupError, BackupId, Written};

use super::{Bucket, Object, S3Error, Upload};
use crate::backup::directory::{CHECKSUM, CHECKSUM_BYTES_MAX, SEGMENT, SUFFIX, checksum_in, checksum_line};
use crate::backup::location::{Location, LocationError, Pending, Stored, StoredSegment};

/// See the module.
pub(in crate::backup) struct Store {
    bucket: Bucket,
    /// Checksums that were read; they never change.
    checksums: Mutex<BTreeMap<BackupId, String>>,
}

impl Store {
    pub(in crate::backup) fn new(bucket: Bucket) -> Self {
        Self { bucket, checksums: Mutex::default() }
    }

    fn failed(&self, error: S3Error) -> LocationError {
        LocationError::Store { error, name: self.bucket.to_string() }
    }

    fn checksum(&self, id: BackupId) -> Result<Option<String>, S3Error> {
        if let Some(known) = self.checksums.lock().get(&id) {
            return Ok(Some(known.clone()));
        }
        let object = match self.bucket.open(&format!("{id}{CHECKSUM}")) {
            Ok(object) => object,
            // It was removed meanwhile.
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut line = String::new();
        let read = object.take(CHECKSUM_BYTES_MAX).read_to_string(&mut line);
        let Some(sha256) = read.ok().and_then(|_| checksum_in(&line, id)) else { return Ok(None) };
        self.checksums.lock().insert(id, sha256.clone());
        Ok(Some(sha256))
    }

    /// What is there: whether each backup has its object, with its length, and its checksum.
    fn found(&self) -> Result<BTreeMap<BackupId, Found>, S3Error> {
        let mut found: BTreeMap<BackupId, Found> = BTreeMap::new();
        for object in self.bucket.list()? {
            if let Some(id) = object.name.strip_suffix(SUFFIX).and_then(|id| id.parse().ok()) {
                found.entry(id).or_default().bytes = Some(object.bytes);
            } else if let Some(id) = object.name.strip_suffix(CHECKSUM).and_then(|id| id.parse().ok()) {
                found.entry(id).or_default().has_checksum = true;
            }
        }
        Ok(found)
    }
}

#[derive(Default)]
struct Found {
    bytes: Option<u64>,
    has_checksum: bool,
}

impl Location for Store {
    fn name(&self) -> String {
        self.bucket.to_string()
    }

    fn list(&self) -> Result<Vec<Stored>, LocationError> {
        let found = self.found().map_err(|error| self.failed(error))?;
        self.checksums.lock().retain(|id, _| found.contains_key(id));
        let mut stored = Vec::new();
        for (id, found) in found.into_iter().rev() {
            let Some(bytes) = found.bytes.filter(|_| found.has_checksum) else { continue };
            let sha256 = self.checksum(id).map_err(|error| self.failed(error))?;
            stored.push(Stored { id, bytes, sha256 });
        }
        Ok(stored)
    }

    fn open(&self, id: BackupId) -> Result<Box<dyn Read + Send>, LocationError> {
        match self.bucket.open(&format!("{id}{SUFFIX}")) {
            Ok(object) => Ok(Box::new(object)),
            Err(error) if error.is_missing() => Err(LocationError::Missing { id, name: self.name() }),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn begin(&self, mut id: BackupId) -> Result<Box<dyn Pending>, LocationError> {
        let found = self.found().map_err(|error| self.failed(error))?;
        // Two that begin in the same second have different names only if one sees the other; schedules are one node's.
        while found.contains_key(&id) {
            id = id.next();
        }
        let upload = Some(self.bucket.upload(&format!("{id}{SUFFIX}")));
        Ok(Box::new(PendingObject { bucket: self.bucket.clone(), id, upload, committed: false }))
    }

    fn delete(&self, id: BackupId) -> Result<(), LocationError> {
        // The checksum first: what has none is seen by nobody.
        for name in [format!("{id}{CHECKSUM}"), format!("{id}{SUFFIX}")] {
            self.bucket.delete(&name).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn segments(&self) -> Result<Vec<StoredSegment>, LocationError> {
        let objects = self.bucket.list().map_err(|error| self.failed(error))?;
        let segment = |object: Object| {
            let name = object.name.strip_suffix(SEGMENT)?.parse().ok()?;
            Some(StoredSegment { name, bytes: object.bytes })
        };
        let mut stored: Vec<StoredSegment> = objects.into_iter().filter_map(segment).collect();
        stored.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(stored)
    }

    fn open_segment(&self, name: &SegmentName) -> Result<Box<dyn Read + Send>, LocationError> {
        match self.bucket.open(&format!("{name}{SEGMENT}")) {
            Ok(object) => Ok(Box::new(object)),
            Err(error) if error.is_missing() => {
                Err(LocationError::MissingSegment { segment: name.clone(), name: self.name() })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn put_segment(&self, name: &SegmentName, bytes: &[u8]) -> Result<(), LocationError> {
        // An object is seen as a whole or not at all; one of the same name has the same entries.
        let object = format!("{name}{SEGMENT}");
        self.bucket.put(&object, Bytes::copy_from_slice(bytes)).map_err(|error| self.failed(error))?;
        let mut read_back = Vec::with_capacity(bytes.len());
        let stored = self.bucket.open(&object).map_err(|error| self.failed(error))?;
        let read = stored.take(bytes.len() as u64 + 1).read_to_end(&mut read_back);
        read.map_err(|error| LocationError::io(error, self.name()))?;
        if read_back != bytes {
            let error = BackupError::Damaged("what was read back is not what was written".to_owned());
            return Err(LocationError::Segment { segment: name.clone(), error });
        }
        Ok(())
    }

    fn delete_segment(&self, name: &SegmentName) -> Result<(), LocationError> {
        self.bucket.delete(&format!("{name}{SEGMENT}")).map_err(|error| self.failed(error))
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// An object on its way.
struct PendingObject {
    bucket: Bucket,
    id: BackupId,
    /// Until all of it is there.
    upload: Option<Upload>,
    committed: bool,
}

impl PendingObject {
    fn failed(&self, error: S3Error) -> LocationError {
        LocationError::Store { error, name: self.bucket.to_string() }
    }
}

impl Write for PendingObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.upload {
            Some(upload) => upload.write(bytes),
            None => Err(io::Error::other("it was finished already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Pending for PendingObject {
    fn id(&self) -> BackupId {
        self.id
    }

    fn reread(&mut self) -> Result<Box<dyn Read + Send>, LocationError> {
        if let Some(upload) = self.upload.take() {
            upload.finish().map_err(|error| self.failed(error))?;
        }
        let object = self.bucket.open(&format!("{}{SUFFIX}", self.id)).map_err(|error| self.failed(error))?;
        Ok(Box::new(object))
    }

    fn commit(mut self: Box<Self>, written: &Written) -> Result<(), LocationError> {
        let line = Bytes::from(checksum_line(self.id, &written.sha256));
        self.bucket.put(&format!("{}{CHECKSUM}", self.id), line).map_err(|error| self.failed(error))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for PendingObject {
    fn drop(&mut self) {
        // Before its end there is no object, and the upload gives itself up.
        if self.committed || self.upload.is_some() {
            return;
        }
        if let Err(error) = self.bucket.delete(&format!("{}{SUFFIX}", self.id)) {
            tracing::warn!(backup_id = %self.id, %error, "an unfinished backup could not be removed");
        }
    }
}
