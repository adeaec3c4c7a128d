// A client that has nothing but the .proto files: client ENDPOINT TOPIC. Prints what it saw as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
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
	Consumed     [][]interface{}   `json:"consumed"`
	Unsettled    uint64            `json:"unsettled"`
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

const subscription = "go"

// Takes messages of the subscription from every node that leads a partition, and fails the first one once.
type consumer struct {
	sync.Mutex
	topic   string
	wanted  int
	handled [][]interface{}
	failed  bool
	streams []api.Subscriptions_ConsumeClient
}

func (c *consumer) run(broker api.BrokerClient) {
	cluster, err := broker.DescribeCluster(within(10), &api.DescribeClusterRequest{})
	must(err)
	addresses, leaders := map[uint32]string{}, map[string]bool{}
	for _, node := range cluster.Nodes {
		addresses[node.Id] = node.Address
	}
	for _, partition := range cluster.Partitions {
		if partition.Topic == c.topic {
			leaders[addresses[partition.Leader]] = true
		}
	}
	for address := range leaders {
		connection, err := grpc.Dial(address, grpc.WithInsecure())
		must(err)
		stream, err := api.NewSubscriptionsClient(connection).Consume(within(30))
		must(err)
		c.streams = append(c.streams, stream)
	}
	var done sync.WaitGroup
	for _, stream := range c.streams {
		done.Add(1)
		go func(stream api.Subscriptions_ConsumeClient) {
			defer done.Done()
			c.consume(stream)
		}(stream)
	}
	done.Wait()
}

func (c *consumer) consume(stream api.Subscriptions_ConsumeClient) {
	c.Lock()
	must(stream.Send(&api.ConsumeRequest{
		Open: &api.ConsumeOpen{
			Topic: c.topic, Subscription: subscription, Consumer: "client.go", Session: "go-session-1",
		},
		CreditMessages: 100, CreditBytes: 1000000,
	}))
	c.Unlock()
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return
		}
		must(err)
		at := 0
		for run, length := range response.RunLengths {
			messages := response.Messages[at : at+int(length)]
			at += int(length)
			for place, one := range messages {
				// When it failed, its hold is over: what came behind it comes again.
				if c.settle(stream, response, run, place, one) {
					break
				}
			}
		}
	}
}

// True when the message failed. Whoever handles the last message has all streams left.
func (c *consumer) settle(
	stream api.Subscriptions_ConsumeClient, response *api.ConsumeResponse, run, place int, one *api.Message,
) bool {
	c.Lock()
	defer c.Unlock()
	sequence, attempt := response.RunSequences[run]+uint64(place), uint32(1)
	if place == 0 {
		attempt = response.RunAttempts[run]
	}
	request := &api.ConsumeRequest{
		SettleKinds:         []api.SettlementKind{api.SettlementKind_SETTLEMENT_KIND_ACK},
		SettlePartitions:    []uint32{response.Partition},
		SettleTokenEpochs:   []uint64{response.TokenEpoch},
		SettleTokenCounters: []uint64{response.RunTokenCounters[run]},
		SettleSequences:     []uint64{sequence},
		SettleMilliseconds:  []uint32{0},
		CreditMessages:      1, CreditBytes: 100,
	}
	fails := !c.failed
	if fails {
		c.failed = true
		request.SettleKinds[0] = api.SettlementKind_SETTLEMENT_KIND_NACK
		request.SettleMilliseconds[0] = 50
		request.SettleReasons = []string{"once"}
	} else {
		c.handled = append(c.handled, []interface{}{one.MessageGroup, sequence, string(one.Value), attempt})
	}
	must(stream.Send(request))
	if len(c.handled) == c.wanted {
		for _, each := range c.streams {
			must(each.Send(&api.ConsumeRequest{Leave: true}))
		}
	}
	return fails
}

func main() {
	endpoint, topic := os.Args[1], os.Args[2]
	connection, err := grpc.Dial(endpoint, grpc.WithInsecure())
	must(err)
	broker := api.NewBrokerClient(connection)
	capabilities, err := broker.GetCapabilities(within(10), &api.GetCapabilitiesRequest{})
	must(err)
	subscriptions := api.NewSubscriptionsClient(connection)
	_, err = subscriptions.CreateSubscription(within(10), &api.CreateSubscriptionRequest{
		Topic: topic, Name: subscription, Start: api.SubscriptionStart_SUBSCRIPTION_START_LATEST,
	})
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
	own := &consumer{topic: topic, wanted: len(stored.Statuses)}
	own.run(broker)
	result.Consumed = own.handled
	described, err := subscriptions.DescribeSubscription(within(10), &api.DescribeSubscriptionRequest{
		Topic: topic, Name: subscription,
	})
	must(err)
	for _, partition := range described.Partitions {
		result.Unsettled += partition.Unsettled
	}
	for _, number := range capabilities.RequestTypes {
		result.Ordered = result.Ordered || number == 22
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}
