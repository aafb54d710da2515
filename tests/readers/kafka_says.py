"""Asks a Kafka what only it knows, or gives it what no producer of Hangang's would. Shares no code with it.

usage: kafka_says.py KAFKA members GROUP     the group's state, then each member and the partitions it has, a line each
       kafka_says.py KAFKA keeps TOPIC…      exit 1 unless the topics keep everything and take stamps of any time
       kafka_says.py KAFKA nonsense TOPIC    publishes records that break the contract; prints how many
"""

import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

WITHIN_S = 30
KEPT = {"retention.ms": "-1", "message.timestamp.after.max.ms": "9223372036854775807"}
NONSENSE = [
    b"no JSON at all",
    b'{"spot":"A-01","direction":1,"observed_at":"2022-09-30T15:00:00Z","volume":7,"received_at":"2022-09-30T16:30:00Z"}',
    b'{"spot":"A-01","direction":1,"lane":1,"observed_at":"2022-09-30T15:00:00Z","volume":-7,"received_at":"2022-09-30T16:30:00Z"}',
    b'{"spot":"A-01","direction":1,"lane":1,"observed_at":"2032-09-30T15:00:00Z","volume":7,"received_at":"2022-09-30T16:30:00Z"}',
]

kafka, question, *names = sys.argv[1:]
servers = {"bootstrap.servers": kafka}
admin = AdminClient(servers)  # held: its answers come only while it lives

if question == "members":
    described = admin.describe_consumer_groups(names, request_timeout=WITHIN_S)
    group = described[names[0]].result(WITHIN_S)
    print(group.state.name)
    for member in group.members:
        places = sorted(f"{part.topic}/{part.partition}" for part in member.assignment.topic_partitions)
        print(member.member_id, *places)

elif question == "keeps":
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    amiss = 0
    for resource, answer in admin.describe_configs(resources, request_timeout=WITHIN_S).items():
        found = {key: entry.value for key, entry in answer.result(WITHIN_S).items() if key in KEPT}
        print(resource.name, found)
        amiss += found != KEPT
    sys.exit(bool(amiss))

elif question == "nonsense":
    producer = Producer(servers)
    refused = []
    for payload in NONSENSE:
        producer.produce(names[0], key=b"A-01/1/1", value=payload, on_delivery=lambda error, _: error and refused.append(error))
    left = producer.flush(WITHIN_S)
    if left or refused:
        raise SystemExit(f"not published: {left} unanswered, {refused}")
    print(len(NONSENSE))

else:
    raise SystemExit(__doc__)
