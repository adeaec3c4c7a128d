"""A client that has nothing but the .proto files: python3 client.py GENERATED ENDPOINT TOPIC. Prints what it saw as JSON."""
import json
import queue
import sys
import threading

import grpc

sys.path.insert(0, sys.argv[1])
from seriatim.v1 import broker_pb2 as api
from seriatim.v1 import broker_pb2_grpc, message_pb2, subscription_pb2_grpc
from seriatim.v1 import subscription_pb2 as sub

endpoint, topic = sys.argv[2], sys.argv[3]
broker = broker_pb2_grpc.BrokerStub(grpc.insecure_channel(endpoint))
subscriptions = subscription_pb2_grpc.SubscriptionsStub(grpc.insecure_channel(endpoint))
SUBSCRIPTION = "python"


def message(group, value):
    return message_pb2.Message(message_group=group, value=value.encode())


def runs(producer, first_sequences, groups):
    """Three messages of each group; the messages of a group lie next to each other and are a run."""
    messages = [message(group, f"{group}-{n}") for group in groups for n in range(3)]
    return api.OrderedProduceRequest(
        topic=topic,
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        run_lengths=[3] * len(groups),
        run_sequences=first_sequences,
        messages=messages,
    )


def receipts(response):
    return [list(row) for row in zip(response.statuses, response.partitions, response.offsets, response.sequences)]


def refused(call, request):
    try:
        call(request, timeout=10)
    except grpc.RpcError as error:
        trailers = {key: value for key, value in error.trailing_metadata() if key.startswith("seriatim-")}
        return {"status": error.code().name, **trailers}
    return {"status": "OK"}


class Consumer:
    """Takes messages of one subscription from every node that leads a partition, and fails the first one once."""

    def __init__(self, wanted):
        self.wanted, self.handled, self.failed, self.lock = wanted, [], 0, threading.Lock()

    def run(self):
        cluster = broker.DescribeCluster(api.DescribeClusterRequest(), timeout=10)
        addresses = {node.id: node.address for node in cluster.nodes}
        leaders = {addresses[p.leader] for p in cluster.partitions if p.topic == topic}
        self.requests = {address: queue.Queue() for address in leaders}
        threads = [threading.Thread(target=self.consume, args=(address,)) for address in leaders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    def consume(self, address):
        requests = self.requests[address]
        opening = sub.ConsumeOpen(topic=topic, subscription=SUBSCRIPTION, consumer="client.py", session="python-session-1")
        requests.put(sub.ConsumeRequest(open=opening, credit_messages=100, credit_bytes=1_000_000))
        stub = subscription_pb2_grpc.SubscriptionsStub(grpc.insecure_channel(address))
        for response in stub.Consume(iter(requests.get, None), timeout=30):
            at = 0
            for run, length in enumerate(response.run_lengths):
                for place in range(length):
                    token = (response.partition, response.token_epoch, response.run_token_counters[run])
                    found, sequence = response.messages[at], response.run_sequences[run] + place
                    at += 1
                    if self.settle(requests, token, found, sequence, response.run_attempts[run] if place == 0 else 1):
                        break  # its hold is over: what came behind it comes again
                else:
                    continue
                at += length - place - 1

    def settle(self, requests, token, found, sequence, attempt):
        """True when the message failed. Whoever handles the last message has all streams left."""
        with self.lock:
            fails = self.failed == 0
            kind = sub.SETTLEMENT_KIND_NACK if fails else sub.SETTLEMENT_KIND_ACK
            if fails:
                self.failed += 1
            else:
                self.handled.append([found.message_group, sequence, found.value.decode(), attempt])
            requests.put(
                sub.ConsumeRequest(
                    settle_kinds=[kind],
                    settle_partitions=[token[0]],
                    settle_token_epochs=[token[1]],
                    settle_token_counters=[token[2]],
                    settle_sequences=[sequence],
                    settle_milliseconds=[50 if fails else 0],
                    settle_reasons=["once"] if fails else [],
                    credit_messages=1,
                    credit_bytes=100,
                )
            )
            if len(self.handled) == self.wanted:
                for each in self.requests.values():
                    each.put(sub.ConsumeRequest(leave=True))
            return fails


created = sub.CreateSubscriptionRequest(topic=topic, name=SUBSCRIPTION, start=sub.SUBSCRIPTION_START_LATEST)
subscriptions.CreateSubscription(created, timeout=10)
capabilities = broker.GetCapabilities(api.GetCapabilitiesRequest(), timeout=10)
producer = broker.InitProducer(api.InitProducerRequest(), timeout=10)
groups = ["python-a", "python-ü"]
request = runs(producer, [1, 1], groups)
stored = broker.OrderedProduce(request, timeout=10)
# As after a lost answer: the same runs with the same sequences.
repeated = broker.OrderedProduce(request, timeout=10)

read = []
for partition in sorted({p for p in stored.partitions}):
    fetch = api.FetchRequest(
        topic=topic, partition=partition, **{"from": api.FETCH_FROM_EARLIEST}, until_end=True
    )
    for response in broker.Fetch(fetch, timeout=10):
        at = 0
        for length, sequence in zip(response.run_lengths, response.run_sequences):
            for place in range(length):
                found = response.messages[at]
                at += 1
                if found.message_group in groups:
                    read.append([found.message_group, sequence + place, found.value.decode()])

consumer = Consumer(len(stored.statuses))
consumer.run()
described = subscriptions.DescribeSubscription(
    sub.DescribeSubscriptionRequest(topic=topic, name=SUBSCRIPTION), timeout=10
)

unknown = api.OrderedProduceRequest(topic="no-such-topic", messages=[message("g", "x")])
ungrouped = api.OrderedProduceRequest(topic=topic, messages=[message("", "x")])
print(
    json.dumps(
        {
            "ordered": 22 in capabilities.request_types,
            "stored": receipts(stored),
            "repeated": receipts(repeated),
            "read": read,
            "consumed": consumer.handled,
            "unsettled": sum(partition.unsettled for partition in described.partitions),
            "unknownTopic": refused(broker.OrderedProduce, unknown),
            "withoutGroup": refused(broker.OrderedProduce, ungrouped),
        }
    )
)
