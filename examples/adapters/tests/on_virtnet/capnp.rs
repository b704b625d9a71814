//! capnp-rpc: calls of Cap'n Proto on a connection, and how each end of it ends them.
//!
//! Owns which calls get an error, which one, and which get none. Never needs the schema
//! compiler: the interface is written by hand.

use std::cell::Cell;
use std::future::{Future, pending};
use std::ops::Deref;
use std::rc::Rc;

use capnp::capability::{
    Client, DispatchCallResult, FromClientHook, FromServer, Params, Promise, Results, Server,
};
use capnp::private::capability::ClientHook;
use capnp::{ErrorKind, any_pointer, text};
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{Disconnector, RpcSystem, twoparty::VatNetwork};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use virtnet::Conn;
use virtnet::faults::{Plan, Rule, pairs};

use crate::{Two, goes_on, until_free, within};

/// The methods of the only interface: one that answers, one that never does.
const SHOUT: u16 = 0;
const WAIT: u16 = 1;

/// What becomes of a call of `WAIT`.
#[derive(Debug, PartialEq)]
enum Event {
    Began,
    Dropped,
}

struct Service(mpsc::UnboundedSender<Event>);

struct Waiting(Rc<Service>);

impl Drop for Waiting {
    fn drop(&mut self) {
        // The test may be over.
        drop(self.0.0.send(Event::Dropped));
    }
}

#[derive(Clone)]
struct Dispatch(Rc<Service>);

impl Deref for Dispatch {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

impl Server for Dispatch {
    fn dispatch_call(
        self,
        _interface: u64,
        method: u16,
        params: Params<any_pointer::Owned>,
        mut results: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        let answer = async move {
            if method == WAIT {
                self.0.0.send(Event::Began).unwrap();
                let _waiting = Waiting(self.0);
                pending::<()>().await;
            }
            let said: text::Reader<'_> = params.get()?.get_as()?;
            let shouted = said.to_str()?.to_uppercase();
            results.get().set_as(shouted.as_str())
        };
        DispatchCallResult::new(Promise::from_future(answer), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }
}

/// A capability, of this process or of the other one.
#[derive(Clone)]
struct Shouter(Client);

impl FromClientHook for Shouter {
    fn new(hook: Box<dyn ClientHook>) -> Shouter {
        Shouter(Client::new(hook))
    }

    fn into_client_hook(self) -> Box<dyn ClientHook> {
        self.0.hook
    }

    fn as_client_hook(&self) -> &dyn ClientHook {
        self.0.hook.as_ref()
    }
}

impl FromServer<Service> for Shouter {
    type Dispatch = Dispatch;

    fn from_server(service: Rc<Service>) -> Dispatch {
        Dispatch(service)
    }
}

impl Shouter {
    fn call(&self, method: u16, said: &str) -> impl Future<Output = capnp::Result<String>> + use<> {
        let call = self.0.new_call(1, method, None);
        let mut call: capnp::capability::Request<any_pointer::Owned, any_pointer::Owned> = call;
        call.get().set_as(said).unwrap();
        let answer = call.send().promise;
        async move {
            let answer = answer.await?;
            let heard: text::Reader<'_> = answer.get()?.get_as()?;
            Ok(heard.to_str()?.to_owned())
        }
    }
}

/// What runs one end of a connection.
type System = RpcSystem<Side>;

fn system(conn: Conn, side: Side, offers: Option<Shouter>) -> System {
    let (read, write) = conn.into_split();
    let network = VatNetwork::new(
        read.compat(),
        write.compat_write(),
        side,
        Default::default(),
    );
    RpcSystem::new(Box::new(network), offers.map(|shouter| shouter.0))
}

/// β's end and α's end of a connection.
async fn connect(net: &Two) -> (Conn, Conn) {
    let listener = net.alpha.listen(":1").unwrap();
    let both = async { tokio::try_join!(net.beta.dial("α:1"), listener.accept()) };
    let (dialed, (accepted, _)) = within(both).await.unwrap();
    (dialed, accepted)
}

async fn until_ports_are_free(net: &Two) {
    until_free(&net.alpha, 2).await;
    until_free(&net.beta, 1).await;
}

/// α serves β.
struct Scene {
    net: Two,
    shouter: Shouter,
    disconnector: Disconnector<Side>,
    client: JoinHandle<capnp::Result<()>>,
    server: JoinHandle<capnp::Result<()>>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Scene {
    async fn new() -> Scene {
        let net = Two::join().await;
        let (dialed, accepted) = connect(&net).await;
        let (sender, events) = mpsc::unbounded_channel();
        let offered = capnp_rpc::new_client(Service(sender));
        let server = system(accepted, Side::Server, Some(offered));
        let mut client = system(dialed, Side::Client, None);
        Scene {
            net,
            shouter: client.bootstrap(Side::Server),
            disconnector: client.get_disconnector(),
            client: spawn_local(client),
            server: spawn_local(server),
            events,
        }
    }

    /// A call that is under way at the server.
    async fn waits(&mut self, shouter: &Shouter) -> JoinHandle<capnp::Result<String>> {
        let call = spawn_local(shouter.call(WAIT, "hello"));
        assert_eq!(within(self.events.recv()).await, Some(Event::Began));
        call
    }
}

#[tokio::test]
async fn calls_and_an_orderly_end() {
    let test = async {
        let scene = Scene::new().await;
        let said = "hello".repeat(200_000);
        let answer = within(scene.shouter.call(SHOUT, &said)).await.unwrap();
        assert!(answer == said.to_uppercase(), "all of it");

        within(scene.disconnector).await.unwrap();
        // It is no error at the other side.
        within(scene.client).await.unwrap().unwrap();
        within(scene.server).await.unwrap().unwrap();
        let err = within(scene.shouter.call(SHOUT, "again"))
            .await
            .unwrap_err();
        assert_eq!(err.kind, ErrorKind::Disconnected);
        until_ports_are_free(&scene.net).await;
        scene.net.close().await;
    };
    LocalSet::new().run_until(test).await;
}

/// A cut that lasts is a connection that timed out, which capnp-rpc has among errors of
/// overload: so a client that connects again when it is disconnected does not.
#[tokio::test]
async fn a_cut_is_no_disconnection_and_a_reset_is() {
    let test = async {
        let ends = [
            (
                Rule::cut as fn(&str, &str) -> Rule,
                ErrorKind::Overloaded,
                1,
            ),
            (Rule::reset, ErrorKind::Disconnected, 2),
        ];
        for (rule, kind, connects) in ends {
            let mut scene = Scene::new().await;
            let (connected, target) = (Rc::new(Cell::new(0)), scene.shouter.clone());
            let count = connected.clone();
            let again = capnp_rpc::auto_reconnect(move || {
                count.set(count.get() + 1);
                Ok(target.clone())
            });
            let (shouter, _): (Shouter, _) = again.unwrap();
            let call = scene.waits(&shouter).await;
            let plan = Plan::new().for_each(pairs::isolate("α", &["α", "β"]), rule);
            let guard = scene.net.subnets[0].faults().apply(plan).await.unwrap();

            let err = within(call).await.unwrap().unwrap_err();
            assert_eq!(err.kind, kind, "{err}");
            assert_eq!(connected.get(), connects);
            assert_eq!(within(scene.events.recv()).await, Some(Event::Dropped));
            until_ports_are_free(&scene.net).await;
            for system in [scene.client, scene.server] {
                let ended = within(system).await.unwrap();
                assert_eq!(ended.is_err(), kind == ErrorKind::Overloaded, "{ended:?}");
            }
            guard.heal().await.unwrap();
            scene.net.close().await;
        }
    };
    LocalSet::new().run_until(test).await;
}

/// Its connection ends cleanly. But what waits at its own side waits on.
#[tokio::test]
async fn a_system_that_is_dropped() {
    let test = async {
        let mut scene = Scene::new().await;
        let mut call = scene.waits(&scene.shouter.clone()).await;
        scene.client.abort();
        assert_eq!(within(scene.events.recv()).await, Some(Event::Dropped));
        within(scene.server).await.unwrap().unwrap();
        until_ports_are_free(&scene.net).await;
        goes_on(&mut call).await;
        call.abort();
        scene.net.close().await;

        let mut scene = Scene::new().await;
        let call = scene.waits(&scene.shouter.clone()).await;
        scene.server.abort();
        let err = within(call).await.unwrap().unwrap_err();
        assert_eq!(err.kind, ErrorKind::Disconnected, "{err}");
        within(scene.client).await.unwrap().unwrap();
        until_ports_are_free(&scene.net).await;
        scene.net.close().await;
    };
    LocalSet::new().run_until(test).await;
}

/// Disconnecting waits until what was called is written, so it needs a bound; past it, the
/// system can be dropped.
#[tokio::test]
async fn a_disconnection_has_a_bound_that_is_the_callers() {
    let test = async {
        let net = Two::join().await;
        let (dialed, mut silent) = connect(&net).await;
        let mut client = system(dialed, Side::Client, None);
        let shouter: Shouter = client.bootstrap(Side::Server);
        let mut disconnector = client.get_disconnector();
        let client = spawn_local(client);
        // More than the connection takes, if it is not read.
        let call = spawn_local(shouter.call(SHOUT, &"hello".repeat(2_000_000)));
        silent.read_exact(&mut [0]).await.unwrap();

        goes_on(&mut disconnector).await;
        let err = within(call).await.unwrap().unwrap_err();
        assert_eq!(err.kind, ErrorKind::Disconnected, "{err}");
        assert!(!client.is_finished());
        client.abort();
        until_free(&net.beta, 1).await;
        drop(silent);
        net.close().await;
    };
    LocalSet::new().run_until(test).await;
}
