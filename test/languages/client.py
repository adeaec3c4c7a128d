"""A client that has nothing but the .proto files: python3 client.py GENERATED ENDPOINT TOPIC. Prints what it saw as JSON."""
import json
import sys

import grpc

sys.path.insert(0, sys.argv[1])
from seriatim.v1 import broker_pb2 as api
from seriatim.v1 import broker_pb2_grpc, message_pb2

endpoint, topic = sys.argv[2], sys.argv[3]
broker = broker_pb2_grpc.BrokerStub(grpc.insecure_channel(endpoint))


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

unknown = api.OrderedProduceRequest(topic="no-such-topic", messages=[message("g", "x")])
ungrouped = api.OrderedProduceRequest(topic=topic, messages=[message("", "x")])
print(
    json.dumps(
        {
            "ordered": 22 in capabilities.request_types,
            "stored": receipts(stored),
            "repeated": receipts(repeated),
            "read": read,
            "unknownTopic": refused(broker.OrderedProduce, unknown),
            "withoutGroup": refused(broker.OrderedProduce, ungrouped),
        }
    )
)
