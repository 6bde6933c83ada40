//! The operators' door: a loopback listener and a socket in the data directory, and the client that asks there.

mod audit;
mod backups;
mod client;
mod debug;
mod doorkeeper;
mod drain;
mod levels;
mod membership;
mod routes;
mod socket;
mod target;
mod trace;
mod users;
mod view;
mod webhooks;

pub use backups::{ArchiveView, BackupsView, CreateBody, PruneBody, Pruned, ScheduleView, VerifyBody};
pub use client::{AdminError, get, post, post_into, put};
pub use debug::debug_router;
pub use doorkeeper::{Doorkeeper, Role, audited};
pub use drain::{AffinityView, DrainBody, MaintainedNode, MaintenanceBody, MaintenanceView, NodeAffinities};
pub use levels::{CategoryLevel, LevelBody, LevelsView};
pub use membership::{Done, Members, RemoveBody, TokenBody, TransferBody};
pub use routes::{AdminStatus, CertificateView, TlsView, router};
pub use socket::{SOCKET_NAME, SocketError, bind_socket};
pub use target::Target;
pub use users::{UserView, UsersView};
pub use view::{AlertView, CertificateSeen, NodeView, StatusView, TlsSeen};
pub use webhooks::{LettersBody, LettersDropped, WebhooksView};
