// A worker: a program that provides functions to the service. docs/go.md says how to run it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "example.com/millrace/gen/millrace/v1"
)

const (
	credits = 16           // Calls that it takes at once.
	maxText = 4<<20 - 4096 // Largest payload and result, in bytes.
	silence = time.Minute  // The service answers heartbeats: after a longer silence, it is gone.
)

// A caller calls a function, wherever it is. The result is empty when it returned nothing.
type caller func(ctx context.Context, functionID string, payload any) (json.RawMessage, error)

// A function is what the worker provides. What it returns becomes JSON; nil is no result.
type function func(ctx context.Context, payload []byte, call caller) (any, error)

var functions = map[string]function{"go::shout": shout, "go::on-chat": onChat}

var trigger = &pb.ConnectRequest_RegisterTrigger{
	TriggerId:  "chat",
	Type:       "stream",
	FunctionId: "go::on-chat",
	Config:     `{"stream_name": "chat", "retry": {"max_attempts": 5}}`,
}

type said struct {
	Text string `json:"text"`
}

func shout(_ context.Context, payload []byte, _ caller) (any, error) {
	var quiet said
	if err := json.Unmarshal(payload, &quiet); err != nil {
		return nil, err
	}
	return said{strings.ToUpper(quiet.Text) + "!"}, nil
}

// Keeps a copy of `chat` in `loud`. A repeated change is harmless.
func onChat(ctx context.Context, payload []byte, call caller) (any, error) {
	var change struct {
		GroupID, ID string
		Event       struct {
			Type string
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal(payload, &change); err != nil {
		return nil, err
	}
	item := map[string]any{"stream_name": "loud", "group_id": change.GroupID, "item_id": change.ID}
	var err error
	switch change.Event.Type {
	case "delete":
		_, err = call(ctx, "stream::delete", item)
	case "create", "update":
		if item["data"], err = shout(ctx, change.Event.Data, call); err == nil {
			_, err = call(ctx, "stream::set", item)
		}
	}
	return nil, err
}

// A connection is one stream to the service. Call ids are valid on their own stream only.
type connection struct {
	stream       grpc.BidiStreamingClient[pb.ConnectRequest, pb.ConnectResponse]
	sending      sync.Mutex
	identity     *pb.ConnectResponse_Welcome // Proves, on the next stream, that it is the same worker.
	unregistered int
	arrived      chan arrival
	cancels      sync.Map // Of calls that we answer: id -> context.CancelFunc.
	calls        sync.Map // Calls that we make: id -> chan *pb.ConnectResponse_Result.
	callCount    atomic.Int64
}

// An arrival is a call to run. Its context is done when its caller no longer waits.
type arrival struct {
	*pb.ConnectResponse_Invoke
	ctx context.Context
}

// Returns nil when the service has ended the stream, and an error when it broke.
func (c *connection) run(leaving context.Context, address string) error {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A payload may have 4 MiB, which is gRPC's default limit for a whole message.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if token := os.Getenv("TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if c.stream, err = pb.NewWorkerServiceClient(conn).Connect(ctx); err != nil {
		return err
	}
	hello := &pb.ConnectRequest_Hello{
		WorkerName:       "go",
		PreviousWorkerId: c.identity.GetWorkerId(),
		ReattachToken:    c.identity.GetReattachToken(),
		Credits:          proto.Uint32(credits),
	}
	c.say(&pb.ConnectRequest{Message: &pb.ConnectRequest_Hello_{Hello: hello}})
	go c.live(ctx, leaving)
	// The service sends no more calls than there are goroutines to take them, so this never blocks.
	c.arrived = make(chan arrival, credits)
	defer close(c.arrived)
	for range credits {
		go c.work()
	}
	timer := time.AfterFunc(silence, cancel)
	defer timer.Stop()
	for {
		response, err := c.stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			timer.Reset(silence)
			err = c.receive(ctx, response)
		}
		if err != nil {
			return err
		}
	}
}

// Drops a message that cannot be sent: Recv returns the error.
func (c *connection) say(message *pb.ConnectRequest) {
	c.sending.Lock()
	defer c.sending.Unlock()
	_ = c.stream.Send(message)
}

// Sends heartbeats, until the worker leaves.
func (c *connection) live(ctx, leaving context.Context) {
	ticker := time.NewTicker(20 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			heartbeat := &pb.ConnectRequest_Heartbeat_{Heartbeat: &pb.ConnectRequest_Heartbeat{}}
			c.say(&pb.ConnectRequest{Message: heartbeat})
		case <-leaving.Done():
			// Once all calls have returned, the service ends the stream.
			goodbye := &pb.ConnectRequest_Goodbye_{Goodbye: &pb.ConnectRequest_Goodbye{}}
			c.say(&pb.ConnectRequest{Message: goodbye})
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *connection) receive(ctx context.Context, response *pb.ConnectResponse) error {
	switch message := response.Message.(type) {
	case *pb.ConnectResponse_Welcome_:
		c.identity = message.Welcome
		c.unregistered = len(functions) + 1
		go c.register()
	case *pb.ConnectResponse_Registered_:
		if err := errorOf(message.Registered.Error); err != nil {
			return err
		}
		if c.unregistered--; c.unregistered == 0 {
			fmt.Println("ready")
		}
	case *pb.ConnectResponse_Invoke_:
		invoke := message.Invoke
		ctx, cancel := context.WithTimeout(ctx, time.Duration(invoke.TimeoutMs)*time.Millisecond)
		c.cancels.Store(invoke.InvocationId, cancel)
		c.arrived <- arrival{invoke, ctx}
	case *pb.ConnectResponse_Cancel_:
		if cancel, ok := c.cancels.Load(message.Cancel.InvocationId); ok {
			cancel.(context.CancelFunc)()
		}
	case *pb.ConnectResponse_Result_:
		if answer, ok := c.calls.LoadAndDelete(message.Result.InvocationId); ok {
			answer.(chan *pb.ConnectResponse_Result) <- message.Result
		}
	}
	return nil // Other messages need no reaction, or are newer than this program.
}

// Runs on every stream: repeated registrations are harmless.
func (c *connection) register() {
	id := uint64(0)
	for name := range functions {
		id++
		function := &pb.ConnectRequest_RegisterFunction{RequestId: id, FunctionId: name}
		c.say(&pb.ConnectRequest{Message: &pb.ConnectRequest_RegisterFunction_{RegisterFunction: function}})
	}
	c.say(&pb.ConnectRequest{Message: &pb.ConnectRequest_RegisterTrigger_{RegisterTrigger: trigger}})
}

// Answers calls, in the order in which they came. Every one, a cancelled one too: that gives its
// credit back.
func (c *connection) work() {
	for call := range c.arrived {
		answer := &pb.ConnectRequest_Result{InvocationId: call.InvocationId}
		result, err := c.resultOf(call)
		if err != nil {
			message := strings.ToValidUTF8(err.Error(), "?")
			failure := &pb.FunctionFailure{Code: "invocation_failed", Message: message}
			answer.Outcome = &pb.ConnectRequest_Result_Error{Error: failure}
		} else if result != "" {
			answer.Outcome = &pb.ConnectRequest_Result_Result{Result: result}
		}
		if cancel, ok := c.cancels.LoadAndDelete(call.InvocationId); ok {
			cancel.(context.CancelFunc)()
		}
		c.say(&pb.ConnectRequest{Message: &pb.ConnectRequest_Result_{Result: answer}})
	}
}

func (c *connection) resultOf(call arrival) (string, error) {
	function, ok := functions[call.FunctionId]
	if !ok {
		return "", errors.New("the worker does not provide it")
	}
	onward := func(ctx context.Context, functionID string, payload any) (json.RawMessage, error) {
		return c.call(ctx, functionID, payload, call.Cause)
	}
	result, err := function(call.ctx, []byte(call.Payload), onward)
	if err != nil || result == nil {
		return "", err
	}
	return textOf(result)
}

// Calls a function, wherever it is. The cause is that of the call that we are answering.
func (c *connection) call(ctx context.Context, functionID string, payload any, cause string) (json.RawMessage, error) {
	text, err := textOf(payload)
	if err != nil {
		return nil, err
	}
	id := strconv.FormatInt(c.callCount.Add(1), 10)
	answer := make(chan *pb.ConnectResponse_Result, 1)
	c.calls.Store(id, answer)
	defer c.calls.Delete(id)
	invoke := &pb.ConnectRequest_Invoke{InvocationId: id, FunctionId: functionID, Payload: text, Cause: cause}
	c.say(&pb.ConnectRequest{Message: &pb.ConnectRequest_Invoke_{Invoke: invoke}})
	select {
	case result := <-answer:
		return json.RawMessage(result.GetResult()), errorOf(result.GetError())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func errorOf(failure *pb.FunctionFailure) error {
	if failure == nil {
		return nil
	}
	return fmt.Errorf("%s: %s", failure.Code, failure.Message)
}

func textOf(value any) (string, error) {
	text, err := json.Marshal(value)
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("it is too large; it may have up to %d bytes of JSON", maxText)
	}
	return string(text), err
}

func main() {
	address := "127.0.0.1:3112"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	leaving, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var identity *pb.ConnectResponse_Welcome
	pause := time.Second
	for leaving.Err() == nil {
		c := &connection{identity: identity, unregistered: -1}
		if err := c.run(leaving, address); err != nil {
			fmt.Println("the stream broke:", err)
		}
		identity = c.identity
		pause = min(pause*2, 30*time.Second)
		if c.unregistered == 0 {
			pause = time.Second
		}
		select {
		case <-leaving.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}
