// Follows a group, and prints its state after each change. docs/go.md says how to run it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "example.com/millrace/gen/millrace/v1"
)

// A heartbeat comes every 15 s: after a longer silence, the service is gone.
const silence = time.Minute

// A follower has an exact copy of a group, and its position.
type follower struct {
	state    map[string]any
	position *pb.Position
	parts    map[string]any // Of a state that is not complete yet.
	failures int
}

// Returns nil when the service has ended the stream, and an error when it broke.
func (f *follower) follow(ctx context.Context, address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if token := os.Getenv("TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := pb.NewStreamServiceClient(conn).Subscribe(ctx, &pb.SubscribeRequest{
		StreamName: "chat",
		GroupId:    "lobby",
		ResumeFrom: f.position,
	})
	if err != nil {
		return err
	}
	timer := time.AfterFunc(silence, cancel)
	defer timer.Stop()
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		timer.Reset(silence)
		f.failures = 0
		f.take(response)
	}
}

func (f *follower) take(response *pb.SubscribeResponse) {
	switch frame := response.Frame.(type) {
	case *pb.SubscribeResponse_Resumed:
		fmt.Println("resumed at revision", frame.Resumed.Position.Revision)
	case *pb.SubscribeResponse_Sync:
		if frame.Sync.First {
			f.parts = map[string]any{}
		}
		for _, item := range frame.Sync.Items {
			f.parts[item.ItemId] = item.Data.AsInterface()
		}
		if frame.Sync.Last {
			f.state = f.parts
			f.reach(frame.Sync.Position)
		}
	case *pb.SubscribeResponse_Change:
		if frame.Change.Type == pb.ChangeType_CHANGE_TYPE_DELETE {
			delete(f.state, frame.Change.ItemId)
		} else {
			f.state[frame.Change.ItemId] = frame.Change.Data.AsInterface()
		}
		f.reach(frame.Change.Position)
	case *pb.SubscribeResponse_Heartbeat:
		f.position = frame.Heartbeat.Position
	}
}

func (f *follower) reach(position *pb.Position) {
	f.position = position
	text, _ := json.Marshal(f.state) // It came as JSON.
	fmt.Println(string(text))
}

func main() {
	address := "127.0.0.1:3112"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f := &follower{}
	for ctx.Err() == nil {
		if err := f.follow(ctx, address); err != nil && ctx.Err() == nil {
			fmt.Println("the stream broke:", err)
		}
		pause := min(time.Second<<min(f.failures, 5), 30*time.Second)
		f.failures++
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}
