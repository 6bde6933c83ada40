//! How a node comes to be: a configuration, and whose namespaces its clients are to find.

use std::sync::Arc;

use super::{Server, ServerError};
use crate::app::{App, relay};
use crate::backend::Backend;
use crate::config::Config;

/// A node that is to start.
#[derive(Debug)]
#[must_use = "no node starts before `start` is called"]
pub struct ServerBuilder {
    config: Config,
    app: Option<App>,
}

impl Server {
    /// A node of this configuration. Unless [`ServerBuilder::app`] gives an application, it runs the backend proxy, the relay,
    /// or nothing, as the configuration says.
    ///
    /// ```no_run
    /// use vedfolnir::app::{App, Args, Reply, Socket};
    /// use vedfolnir::config::{Inputs, load};
    /// use vedfolnir::server::Server;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = load(&Inputs::of_this_process())?.config;
    /// let app = App::builder().namespace("/", |ns| ns.on("ping", |_: Socket, _: Args| async { Reply::json("pong") }));
    /// let server = Server::builder(config).app(app.build()).start().await?;
    /// server.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn builder(config: Config) -> ServerBuilder {
        ServerBuilder { config, app: None }
    }
}

impl ServerBuilder {
    /// The application that clients connect to, in place of the relay and of the backend proxy.
    pub fn app(mut self, app: App) -> Self {
        self.config.node.relay = false;
        self.config.backend = None;
        self.app = Some(app);
        self
    }

    /// Binds the listeners, forms, joins or rejoins the cluster, starts the service.
    ///
    /// From the moment the listeners are bound, health answers: live, and not ready until this returns.
    ///
    /// # Errors
    /// One line that names the setting or peer, the value, the reason and the fix.
    pub async fn start(self) -> Result<Server, ServerError> {
        let Self { mut config, app } = self;
        // Beside a backend that decides about events the relay would be a way around it.
        config.node.relay &= config.backend.as_ref().is_none_or(|backend| backend.event.is_none());
        let backend = config.backend.take().map(|config| Arc::new(Backend::new(config)));
        let app = app.unwrap_or_else(|| match &backend {
            Some(backend) => backend.app(config.node.relay),
            None if config.node.relay => relay::app(),
            None => App::default(),
        });
        Server::start(config, app, backend).await
    }
}
