// A client that has nothing but the .proto files: client ENDPOINT TOPIC. Prints what it saw as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	api "seriatim/v1"
)

type report struct {
	Ordered      bool              `json:"ordered"`
	Stored       [][]uint64        `json:"stored"`
	Repeated     [][]uint64        `json:"repeated"`
	Read         [][]interface{}   `json:"read"`
	UnknownTopic map[string]string `json:"unknownTopic"`
	WithoutGroup map[string]string `json:"withoutGroup"`
}

var background = context.Background()

func within(seconds time.Duration) context.Context {
	limited, _ := context.WithTimeout(background, seconds*time.Second)
	return limited
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func message(group, value string) *api.Message {
	return &api.Message{MessageGroup: group, Value: []byte(value)}
}

func receipts(response *api.OrderedProduceResponse) [][]uint64 {
	rows := [][]uint64{}
	for i, state := range response.Statuses {
		rows = append(rows, []uint64{
			uint64(state), uint64(response.Partitions[i]), response.Offsets[i], response.Sequences[i],
		})
	}
	return rows
}

func refused(broker api.BrokerClient, request *api.OrderedProduceRequest) map[string]string {
	var trailers metadata.MD
	_, err := broker.OrderedProduce(within(10), request, grpc.Trailer(&trailers))
	found := map[string]string{"status": status.Code(err).String()}
	for _, name := range []string{"seriatim-code", "seriatim-outcome"} {
		if values := trailers.Get(name); len(values) > 0 {
			found[name] = values[0]
		}
	}
	return found
}

// Reads the messages of `groups` with their sequences, partition by partition.
func read(broker api.BrokerClient, topic string, partitions map[uint32]bool, groups map[string]bool) [][]interface{} {
	found := [][]interface{}{}
	order := []int{}
	for partition := range partitions {
		order = append(order, int(partition))
	}
	sort.Ints(order)
	for _, partition := range order {
		stream, err := broker.Fetch(within(10), &api.FetchRequest{
			Topic: topic, Partition: uint32(partition), From: api.FetchFrom_FETCH_FROM_EARLIEST, UntilEnd: true,
		})
		must(err)
		for {
			response, err := stream.Recv()
			if err == io.EOF {
				break
			}
			must(err)
			at := 0
			for run, length := range response.RunLengths {
				for place := uint64(0); place < uint64(length); place++ {
					one := response.Messages[at]
					at++
					if groups[one.MessageGroup] {
						found = append(found, []interface{}{one.MessageGroup, response.RunSequences[run] + place, string(one.Value)})
					}
				}
			}
		}
	}
	return found
}

func main() {
	endpoint, topic := os.Args[1], os.Args[2]
	connection, err := grpc.Dial(endpoint, grpc.WithInsecure())
	must(err)
	broker := api.NewBrokerClient(connection)
	capabilities, err := broker.GetCapabilities(within(10), &api.GetCapabilitiesRequest{})
	must(err)
	producer, err := broker.InitProducer(within(10), &api.InitProducerRequest{})
	must(err)

	// Three messages of each group, next to each other: a run a group.
	groups := []string{"go-a", "go-ü"}
	messages := []*api.Message{}
	for _, group := range groups {
		for n := 0; n < 3; n++ {
			messages = append(messages, message(group, fmt.Sprintf("%s-%d", group, n)))
		}
	}
	request := &api.OrderedProduceRequest{
		Topic: topic, ProducerId: producer.ProducerId, ProducerEpoch: producer.Epoch,
		RunLengths: []uint32{3, 3}, RunSequences: []uint64{1, 1}, Messages: messages,
	}
	stored, err := broker.OrderedProduce(within(10), request)
	must(err)
	// As after a lost answer: the same runs with the same sequences.
	repeated, err := broker.OrderedProduce(within(10), request)
	must(err)

	partitions := map[uint32]bool{}
	for _, partition := range stored.Partitions {
		partitions[partition] = true
	}
	result := report{
		Repeated: receipts(repeated),
		Stored:   receipts(stored),
		Read:     read(broker, topic, partitions, map[string]bool{groups[0]: true, groups[1]: true}),
		UnknownTopic: refused(broker, &api.OrderedProduceRequest{
			Topic: "no-such-topic", Messages: []*api.Message{message("g", "x")},
		}),
		WithoutGroup: refused(broker, &api.OrderedProduceRequest{
			Topic: topic, Messages: []*api.Message{message("", "x")},
		}),
	}
	for _, number := range capabilities.RequestTypes {
		result.Ordered = result.Ordered || number == 22
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}
