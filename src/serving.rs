//! How every server of ours takes connections. Never lets an answer wait for the acknowledgement of its own beginning.

use axum::serve::{ListenerExt as _, TapIo};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections send at once.
pub type Prompt = TapIo<TcpListener, fn(&mut TcpStream)>;

/// Connections that send at once (`TCP_NODELAY`). Otherwise a body waits for the visitor's acknowledgement of its head, which comes
/// 40 ms later: a kept connection had 25 answers a second.
pub fn prompt(listener: TcpListener) -> Prompt {
    listener.tap_io(send_at_once)
}

fn send_at_once(connection: &mut TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it was served");
    }
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_was_taken_sends_at_once() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut prompt = prompt(listener);
        let (taken, _visitor) = tokio::join!(prompt.accept(), TcpStream::connect(address));
        assert!(taken.0.nodelay().unwrap());
    }
}
