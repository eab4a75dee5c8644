//! The pods: a model of kubelet, Deployment and endpoint controllers around real agents.
//! Never decides what an agent decides: a pod is Ready when its own agent of this life says so and its node answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::doors::{Doors, Manner};
use super::lives::Lives;
use super::storage::Shelf;
use super::volume::Volume;
use crate::agent::{self, Identity, ReportChannel};
use crate::api::Report;
use crate::api::names::CONDITION_ASSETS;
use crate::clock::Clock;
use crate::testing::apiserver::{ApiServer, Key, Kind};
use crate::testing::builders::{self, NAMESPACE, POINTER, PodPlan, Sidecar};

/// From the wish that a pod ends until its container does.
const ENDING_TAKES: Duration = Duration::from_secs(2);

/// Until its probe fails: visitors may be sent to it up to then.
const DRAINING_TAKES: Duration = Duration::from_secs(1);

/// One pod as it really is.
pub(super) struct Running {
    pub(super) uid: String,
    pub(super) plan: PodPlan,
    pub(super) address: IpAddr,
    pub(super) volume: Arc<Volume>,
    /// Number of this life of the agent under this name, from 1; 0 when there was none.
    pub(super) life: u32,
    pub(super) agent: Option<AbortHandle>,
    pub(super) ending: Option<Instant>,
    pub(super) probe: Probe,
}

/// How the probe of a pod's application ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Well.
    Succeeds,
    /// Badly: the pod is not Ready, and nothing of it restarts.
    Fails,
}

impl Running {
    pub(super) fn instance(&self) -> String {
        format!("{}-{}", &self.uid[..8], self.life)
    }
}

/// All pods of the world.
pub(super) struct Kubelet {
    server: ApiServer,
    clock: Arc<dyn Clock>,
    lives: Arc<Lives>,
    shelf: Arc<Shelf>,
    doors: Arc<Doors>,
    /// How long agents keep what nobody wants.
    age_floor: Mutex<Duration>,
    pods: Mutex<BTreeMap<String, Running>>,
    silent_nodes: Mutex<Vec<String>>,
    /// The newest version that was looked at.
    tended: Mutex<u64>,
    /// Pods that there ever were: no address is given twice.
    started: AtomicU32,
    /// Last lives of pods that are gone: a pod of the same name is another process.
    past_lives: Mutex<BTreeMap<String, u32>>,
}

/// The key of a pod.
pub(super) fn pod_key(name: &str) -> Key {
    Key::new(Kind::named("Pod"), NAMESPACE, name)
}

/// A condition's status, or nothing.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether the object's Ready condition is True.
pub(super) fn says_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// The report in a pod's condition.
pub(super) fn report(object: &Value) -> Option<Report> {
    Report::parse(condition(object, CONDITION_ASSETS)?["message"].as_str()?).ok()
}

impl Kubelet {
    pub(super) fn new(server: ApiServer, clock: Arc<dyn Clock>, lives: Arc<Lives>, shelf: Arc<Shelf>, doors: Arc<Doors>) -> Self {
        Self {
            server,
            clock,
            lives,
            shelf,
            doors,
            age_floor: Mutex::new(Duration::from_secs(24 * 3600)),
            pods: Mutex::default(),
            silent_nodes: Mutex::default(),
            tended: Mutex::default(),
            started: AtomicU32::default(),
            past_lives: Mutex::default(),
        }
    }

    pub(super) fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.pods.lock().expect("no holder of this lock panics")
    }

    pub(super) fn keep_unwanted_for(&self, age_floor: Duration) {
        *self.age_floor.lock().expect("no holder of this lock panics") = age_floor;
    }

    /// Makes a pod object and starts its containers.
    pub(super) fn start(&self, plan: &PodPlan) {
        let made = self.server.create("kubelet", &builders::pod(plan)).expect("a new name");
        let uid = made["metadata"]["uid"].as_str().expect("every object has one").to_owned();
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + self.started.fetch_add(1, Ordering::Relaxed)));
        let (plan, name) = (plan.clone(), plan.name.clone());
        let life = self.past_lives.lock().expect("no holder of this lock panics").get(&name).copied().unwrap_or(0);
        let probe = Probe::Succeeds;
        let running = Running { uid, plan, address, volume: Arc::new(Volume::new()), life, agent: None, ending: None, probe };
        self.pods().insert(name.clone(), running);
        let status = json!({"phase": "Running", "podIP": address.to_string()});
        self.server.patch_status("kubelet", &pod_key(&name), &status).expect("it was just made");
        self.start_agent(&name);
    }

    /// A new life of the agent, over what the volume holds.
    fn start_agent(&self, name: &str) {
        let mut pods = self.pods();
        let pod = pods.get_mut(name).expect("tests name pods that run");
        if pod.plan.sidecar == Sidecar::None {
            return;
        }
        pod.life += 1;
        let process = process(name, pod.life);
        let context = self.agent_of(name, pod, &process);
        let (doors, address) = (self.doors.clone(), pod.address);
        let task = tokio::spawn(async move {
            let open = |router| doors.open(address, &process, router);
            let _ended = agent::run_showing(context, open, std::future::pending()).await;
        });
        pod.agent = Some(task.abort_handle());
    }

    fn agent_of(&self, name: &str, pod: &Running, process: &str) -> agent::Context {
        let mut settings = agent::Settings::new(POINTER);
        settings.age_floor = *self.age_floor.lock().expect("no holder of this lock panics");
        // Stories say to the second when a version is here, and what is tried again when.
        (settings.load_spread, settings.lot) = (Duration::ZERO, Some(agent::core::Lot::Last));
        if pod.plan.sidecar == Sidecar::HttpAgent {
            settings.channel = ReportChannel::Http;
        }
        let identity = Identity { namespace: NAMESPACE.into(), pod_name: name.into(), pod_uid: pod.uid.clone(), instance: pod.instance() };
        agent::Context {
            client: self.server.client(process),
            fetch: self.shelf.clone(),
            mirror: pod.volume.clone(),
            clock: self.clock.clone(),
            identity,
            settings,
        }
    }

    /// Ends the pod's containers at once.
    fn stop_agent(&self, name: &str) {
        let mut pods = self.pods();
        if let Some(pod) = pods.get_mut(name)
            && let Some(agent) = pod.agent.take()
        {
            self.lives.kill(&process(name, pod.life));
            agent.abort();
            self.doors.close(pod.address);
        }
    }

    /// The pod's probe fails, or succeeds again: nothing restarts.
    pub(super) fn set_probe(&self, name: &str, probe: Probe) {
        self.pods().get_mut(name).expect("tests name pods that run").probe = probe;
        self.tend_one(name);
        self.write_endpoints();
    }

    /// The container ends and starts again; the volume stays.
    pub(super) fn restart(&self, name: &str) {
        self.stop_agent(name);
        self.tend_one(name);
        self.start_agent(name);
    }

    /// The node boots anew: a volume in memory is empty afterwards. The pod keeps its UID, and its conditions until they are written.
    pub(super) fn reboot(&self, name: &str) {
        self.stop_agent(name);
        self.tend_one(name);
        self.pods().get_mut(name).expect("tests name pods that run").volume = Arc::new(Volume::new());
    }

    /// Starts the container of a pod whose node has booted.
    pub(super) fn boot_ends(&self, name: &str) {
        self.start_agent(name);
    }

    /// Asks a pod to end, as a rollout or an eviction does.
    pub(super) fn end(&self, name: &str) {
        if self.server.delete("kubelet", &pod_key(name)).is_ok()
            && let Some(pod) = self.pods().get_mut(name)
        {
            pod.ending = Some(Instant::now());
        }
    }

    /// The node goes silent: its pods are un-Ready for the API, and nothing of them is heard.
    pub(super) fn silence(&self, node: &str, at: jiff::Timestamp) {
        self.silent_nodes.lock().expect("no holder of this lock panics").push(node.to_owned());
        let unknown = json!({"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": at}]});
        self.server
            .patch_status("node-controller", &Key::new(Kind::named("Node"), "", node), &unknown)
            .expect("tests name nodes that exist");
        for (name, pod) in self.pods().iter().filter(|(name, _)| self.node_of(name).as_deref() == Some(node)) {
            self.lives.kill(&process(name, pod.life));
        }
    }

    /// The node answers again: its pods' containers start anew.
    pub(super) fn return_node(&self, node: &str, at: jiff::Timestamp) {
        self.silent_nodes.lock().expect("no holder of this lock panics").retain(|silent| silent != node);
        let ready = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at}]});
        self.server.patch_status("node-controller", &Key::new(Kind::named("Node"), "", node), &ready).expect("tests name nodes that exist");
        let names: Vec<String> = self.pods().keys().filter(|name| self.node_of(name).as_deref() == Some(node)).cloned().collect();
        for name in &names {
            self.restart(name);
        }
    }

    /// From now on the pod's endpoint answers like this.
    pub(super) fn answer_in(&self, name: &str, manner: Manner) {
        self.doors.answer_in(self.pods()[name].address, manner);
    }

    fn node_of(&self, name: &str) -> Option<String> {
        self.server.get(&pod_key(name))?["spec"]["nodeName"].as_str().map(str::to_owned)
    }

    /// Whether the pod's node does not answer.
    pub(super) fn is_silent(&self, pod: &Value) -> bool {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        self.silent_nodes.lock().expect("no holder of this lock panics").iter().any(|silent| silent == node)
    }

    /// What kubelet and the endpoint controller would have done by now.
    pub(super) fn tend(&self) {
        // Nothing was written and nothing ends: there is nothing to do. Most ticks are such.
        let version = self.server.version();
        // Nothing is written when a pod that reports over HTTP becomes ready.
        let ending = self.pods().values().any(|pod| pod.ending.is_some() || pod.plan.sidecar == Sidecar::HttpAgent);
        let same = std::mem::replace(&mut *self.tended.lock().expect("no holder of this lock panics"), version) == version;
        if same && !ending {
            return;
        }
        let names: Vec<String> = self.pods().keys().cloned().collect();
        for name in &names {
            self.tend_one(name);
        }
        self.write_endpoints();
    }

    fn tend_one(&self, name: &str) {
        let key = pod_key(name);
        let Some(object) = self.server.get(&key) else { return };
        let ready = self.is_ready(name, &object);
        if ready != says_ready(&object) {
            let status = json!({"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]});
            self.server.patch_status("kubelet", &key, &status).expect("it was there just now");
        }
        let ended = self.pods()[name].ending.is_some_and(|since| since.elapsed() >= ENDING_TAKES);
        if ended {
            self.stop_agent(name);
            self.server.delete_now("kubelet", &key).expect("it was there just now");
            if let Some(gone) = self.pods().remove(name) {
                self.past_lives.lock().expect("no holder of this lock panics").insert(name.to_owned(), gone.life);
            }
        }
    }

    /// Whether kubelet would say so: the readiness gate is the agent's condition, and a probe of the container tells this life's
    /// answer from an earlier one's.
    fn is_ready(&self, name: &str, object: &Value) -> bool {
        let pods = self.pods();
        let pod = &pods[name];
        let has_drained = pod.ending.is_some_and(|since| since.elapsed() >= DRAINING_TAKES);
        if has_drained || pod.probe == Probe::Fails || self.is_silent(object) {
            return false;
        }
        match pod.plan.sidecar {
            Sidecar::None => true,
            Sidecar::HttpAgent => pod.agent.is_some() && self.doors.is_ready(pod.address),
            Sidecar::Agent => {
                let gate = condition(object, CONDITION_ASSETS).is_some_and(|condition| condition["status"] == "True");
                let of_this_life = report(object).is_some_and(|report| report.instance == pod.instance());
                pod.agent.is_some() && gate && of_this_life
            }
        }
    }

    /// Whether the API says that the pod is Ready.
    pub(super) fn is_shown_ready(&self, name: &str) -> bool {
        self.server.get(&pod_key(name)).is_some_and(|object| says_ready(&object))
    }

    /// As the endpoint controller has them: an ending pod stays until it is gone, and serves while it is Ready.
    fn write_endpoints(&self) {
        let endpoint = |(name, pod): (&String, &Running)| {
            let (serves, ends) = (self.is_shown_ready(name), pod.ending.is_some());
            let conditions = json!({"ready": serves && !ends, "serving": serves, "terminating": ends});
            json!({"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name, "uid": pod.uid}})
        };
        let endpoints: Vec<Value> = self.pods().iter().map(endpoint).collect();
        let key = Key::new(Kind::named("EndpointSlice"), NAMESPACE, builders::APP);
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": builders::APP, "namespace": NAMESPACE}, "endpoints": endpoints});
        match self.server.get(&key) {
            None => drop(self.server.create("endpoints", &slice).expect("it is not there")),
            Some(known) if known["endpoints"] == slice["endpoints"] => {}
            Some(_) => drop(self.server.patch("endpoints", &key, &json!({"endpoints": endpoints})).expect("it is there")),
        }
    }
}

/// The name of an agent's life among processes.
pub(super) fn process(pod: &str, life: u32) -> String {
    format!("agent/{pod}#{life}")
}
