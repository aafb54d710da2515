//! A group's life told in milliseconds that no one waits for.

use super::*;

/// A group and the time in it, in milliseconds.
struct Scene {
    group: Group,
    start: Instant,
    ms: u64,
}

impl Scene {
    fn new() -> Scene {
        Scene { group: Group::new("g"), start: Instant::now(), ms: 0 }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        self.group.tick(now);
    }

    fn join(&mut self, member_id: &str) -> oneshot::Receiver<Result<Joined, ResponseError>> {
        self.try_join(request(member_id)).unwrap()
    }

    fn try_join(&mut self, request: JoinRequest) -> Joining {
        let now = self.now();
        self.group.join(request, now)
    }

    fn sync(
        &mut self,
        joined: &Joined,
        assignments: &[(&StrBytes, &'static str)],
    ) -> Result<oneshot::Receiver<Result<Synced, ResponseError>>, ResponseError> {
        let assignments = assignments.iter().map(|(id, text)| ((*id).clone(), Bytes::from_static(text.as_bytes()))).collect();
        let now = self.now();
        self.group.sync(&joined.member_id, None, joined.generation, assignments, now)
    }

    fn heartbeat(&mut self, joined: &Joined) -> Result<(), ResponseError> {
        let now = self.now();
        self.group.heartbeat(&joined.member_id, None, joined.generation, now)
    }

    /// A group of two that reads, the leader first.
    fn of_two() -> (Scene, Joined, Joined) {
        let mut scene = Scene::new();
        let (mut one, mut two) = (scene.join(""), scene.join(""));
        scene.pass(200);
        let (one, two) = (got(&mut one), got(&mut two));
        let mut waiting = scene.sync(&two, &[]).unwrap();
        let mut leading = scene.sync(&one, &[(&one.member_id, "a"), (&two.member_id, "b")]).unwrap();
        assert_eq!((&got(&mut leading).assignment[..], &got(&mut waiting).assignment[..]), (&b"a"[..], &b"b"[..]));
        (scene, one, two)
    }
}

fn request(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: StrBytes::from_string(member_id.to_owned()),
        instance_id: None,
        client_id: StrBytes::from_static_str("client"),
        client_host: "127.0.0.1".into(),
        session_timeout: Duration::from_secs(6),
        rebalance_timeout: Duration::from_secs(30),
        protocol_type: StrBytes::from_static_str("consumer"),
        protocols: vec![(StrBytes::from_static_str("range"), Bytes::from_static(b"topics"))],
        takes_id_first: false,
    }
}

fn got<T>(receiver: &mut oneshot::Receiver<Result<T, ResponseError>>) -> T {
    receiver.try_recv().expect("an answer").unwrap_or_else(|error| panic!("{error:?}"))
}

fn error_of<T: std::fmt::Debug>(receiver: &mut oneshot::Receiver<Result<T, ResponseError>>) -> ResponseError {
    receiver.try_recv().expect("an answer").unwrap_err()
}

#[test]
fn the_first_to_join_leads_and_knows_all_members() {
    let (_, one, two) = Scene::of_two();
    assert_eq!((one.leader.clone(), two.leader.clone()), (one.member_id.clone(), one.member_id.clone()));
    assert_eq!(one.members.len(), 2);
    assert!(two.members.is_empty());
    assert_eq!(one.generation, two.generation);
}

#[test]
fn a_newcomer_makes_all_join_again() {
    let (mut scene, one, two) = Scene::of_two();
    let mut three = scene.join("");
    assert_eq!(scene.heartbeat(&one), Err(ResponseError::RebalanceInProgress));
    let mut one = scene.join(one.member_id.as_str());
    assert!(three.try_recv().is_err(), "two has not joined");
    let mut two = scene.join(two.member_id.as_str());
    let (one, two, three) = (got(&mut one), got(&mut two), got(&mut three));
    assert_eq!((one.generation, two.generation, three.generation), (2, 2, 2));
    assert_eq!(one.members.len(), 3);
}

#[test]
fn a_silent_member_is_left_out() {
    let (mut scene, one, two) = Scene::of_two();
    scene.pass(5_000);
    scene.heartbeat(&one).unwrap();
    scene.pass(2_000);
    assert_eq!(scene.heartbeat(&two), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.heartbeat(&one), Err(ResponseError::RebalanceInProgress));
    let mut again = scene.join(one.member_id.as_str());
    assert_eq!(got(&mut again).members.len(), 1);
}

#[test]
fn a_rebalance_does_not_wait_for_ever() {
    let (mut scene, one, two) = Scene::of_two();
    let mut three = scene.join("");
    for _ in 0..8 {
        scene.pass(4_000);
        let _told = scene.heartbeat(&one);
    }
    assert_eq!(got(&mut three).members.len(), 1, "one sends heartbeats but never joins");
    assert_eq!(scene.heartbeat(&two), Err(ResponseError::UnknownMemberId));
}

#[test]
fn leaving_gives_the_rest_everything_at_once() {
    let (mut scene, one, two) = Scene::of_two();
    let now = scene.now();
    scene.group.leave(&two.member_id, None, now).unwrap();
    let mut again = scene.join(one.member_id.as_str());
    assert_eq!(got(&mut again).members.len(), 1);
    scene.group.leave(&one.member_id, None, now).unwrap();
    assert_eq!(scene.group.state_name(), "Empty");
    assert!(scene.group.is_forgettable());
}

#[test]
fn a_leader_that_never_assigns_is_replaced() {
    let mut scene = Scene::new();
    let (mut one, mut two) = (scene.join(""), scene.join(""));
    scene.pass(200);
    let (_, two) = (got(&mut one), got(&mut two));
    let mut waiting = scene.sync(&two, &[]).unwrap();
    scene.pass(31_000);
    assert_eq!(error_of(&mut waiting), ResponseError::RebalanceInProgress);
    let mut two = scene.join(two.member_id.as_str());
    let two = got(&mut two);
    assert_eq!(two.leader, two.member_id);
}

#[test]
fn an_id_is_given_first_where_the_client_knows_how() {
    let mut scene = Scene::new();
    let mut first = request("");
    first.takes_id_first = true;
    let Err(JoinError::IdFirst(id)) = scene.try_join(first.clone()) else { panic!("no id was given") };
    first.member_id = id.clone();
    let mut joining = scene.try_join(first).unwrap();
    scene.pass(200);
    assert_eq!(got(&mut joining).member_id, id);
    let stranger = scene.try_join(request("stranger"));
    assert_eq!(stranger.err(), Some(JoinError::Refused(ResponseError::UnknownMemberId)));
}

#[test]
fn old_generations_and_strangers_are_refused() {
    let (mut scene, one, _) = Scene::of_two();
    let now = scene.now();
    let old = Joined { generation: one.generation - 1, ..one.clone() };
    assert_eq!(scene.heartbeat(&old), Err(ResponseError::IllegalGeneration));
    let outside = StrBytes::default();
    assert_eq!(scene.group.check_commit(&outside, None, -1, now), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.group.check_commit(&one.member_id, None, one.generation, now), Ok(()));
    assert_eq!(Group::new("empty").check_commit(&outside, None, -1, now), Ok(()));
}

#[test]
fn a_static_member_that_restarts_fences_its_old_self() {
    let mut scene = Scene::new();
    let mut request = request("");
    request.instance_id = Some(StrBytes::from_static_str("static"));
    let mut first = scene.try_join(request.clone()).unwrap();
    scene.pass(200);
    let first = got(&mut first);
    scene.sync(&first, &[(&first.member_id, "a")]).unwrap();
    let mut second = scene.try_join(request.clone()).unwrap();
    let second = got(&mut second);
    assert_ne!(first.member_id, second.member_id);
    let (now, instance) = (scene.now(), request.instance_id.as_ref());
    assert_eq!(scene.group.heartbeat(&first.member_id, instance, first.generation, now), Err(ResponseError::FencedInstanceId));
    scene.sync(&second, &[(&second.member_id, "a")]).unwrap();
    assert_eq!(scene.heartbeat(&second), Ok(()));
}

#[test]
fn one_with_no_common_way_of_assigning_is_refused() {
    let (mut scene, _, _) = Scene::of_two();
    let mut other = request("");
    other.protocols[0].0 = StrBytes::from_static_str("sticky");
    assert_eq!(scene.try_join(other).err(), Some(JoinError::Refused(ResponseError::InconsistentGroupProtocol)));
}
