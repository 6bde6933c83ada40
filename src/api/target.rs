//! Whom a request is for: a namespace, rooms, a session or a user, without some rooms. The same in every request.

use std::sync::Arc;

use vedfolnir_cluster::state::{is_reserved_room, limits};

use super::body::Fields;
use super::problem::{Problem, Type};
use crate::app::{Emitter, ServerHandle};

/// What a request says of whom it is for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) session: Option<Arc<str>>,
    pub(super) except: Vec<Arc<str>>,
    room: Option<Arc<str>>,
    rooms: Option<Vec<Arc<str>>>,
    user: Option<Arc<str>>,
}

impl Target {
    /// Takes its fields out of a request; without a namespace it is for this one.
    pub(super) fn read(fields: &mut Fields, namespace: &str) -> Result<Self, Problem> {
        Ok(Self {
            namespace: fields.optional("namespace")?.unwrap_or_else(|| namespace.to_owned()),
            room: fields.optional("room")?,
            rooms: fields.optional("rooms")?,
            session: fields.optional("session")?,
            user: fields.optional("user")?,
            except: fields.optional("except")?.unwrap_or_default(),
        })
    }

    /// What is meant, if it can be: at most `names_max` rooms, and exceptions.
    pub(super) fn emitter(&self, server: &ServerHandle, names_max: usize) -> Result<Emitter, Problem> {
        let named = [
            ("room", self.room.is_some()),
            ("rooms", self.rooms.is_some()),
            ("session", self.session.is_some()),
            ("user", self.user.is_some()),
        ];
        let mut named = named.into_iter().filter_map(|(name, is_there)| is_there.then_some(name));
        if let (Some(first), Some(second)) = (named.next(), named.next()) {
            let detail = format!("{first:?} and {second:?}: accepted is one of room, rooms, session and user, or none");
            return Err(Problem::invalid(second, detail));
        }
        let mut emitter = namespace(server, &self.namespace)?;
        // Without any room it is for the whole namespace: whoever lists rooms does not mean that.
        if self.rooms.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::invalid("rooms", "no room; leave the field out to reach the whole namespace"));
        }
        check_names("rooms", self.rooms.as_deref().unwrap_or_default(), names_max)?;
        check_names("except", &self.except, names_max)?;
        for (field, name) in [("room", &self.room), ("session", &self.session)] {
            if let Some(name) = name {
                check_name(field, name)?;
                emitter = emitter.to(Arc::clone(name));
            }
        }
        if let Some(user) = &self.user {
            check_length("user", user)?;
            emitter = emitter.to_user(user);
        }
        let rooms = self.rooms.iter().flatten().cloned();
        emitter = rooms.fold(emitter, Emitter::to);
        Ok(self.except.iter().cloned().fold(emitter, Emitter::except))
    }
}

/// A namespace of the application.
pub(super) fn namespace(server: &ServerHandle, name: &str) -> Result<Emitter, Problem> {
    server.of(name).ok_or_else(|| {
        let detail = format!("the application has no namespace {name:?}");
        Problem::new(Type::UnknownNamespace, detail).about("namespace")
    })
}

/// Whether the application has a namespace.
pub(crate) fn check_namespace(server: &ServerHandle, name: &str) -> Result<(), Problem> {
    namespace(server, name).map(drop)
}

/// A session is not there, or not any more.
pub(super) fn unknown_session(namespace: &str, sid: &str) -> Problem {
    let detail = format!("namespace {namespace:?} has no session {sid:?}: it never had, or it is over");
    Problem::new(Type::UnknownSession, detail).about("session")
}

/// Several names, each as it can be.
pub(crate) fn check_names(field: &str, names: &[Arc<str>], names_max: usize) -> Result<(), Problem> {
    if names.len() > names_max {
        return Err(Problem::invalid(field, format!("{} names; accepted: at most {names_max}", names.len())));
    }
    names.iter().enumerate().try_for_each(|(index, name)| check_name(&format!("{field}[{index}]"), name))
}

/// A room, or a session, which is one.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Problem> {
    check_length(field, name)?;
    if is_reserved_room(name) {
        let detail = "a name that begins with U+0000 is the server's own; accepted: any other first character";
        return Err(Problem::invalid(field, detail));
    }
    Ok(())
}

/// Any name.
pub(crate) fn check_length(field: &str, name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        let detail = format!("a name of {} bytes; accepted: 1 to {} bytes", name.len(), limits::NAME_BYTES_MAX);
        return Err(Problem::invalid(field, detail));
    }
    Ok(())
}
