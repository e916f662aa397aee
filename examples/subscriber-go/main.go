// Prints the images that Stowage's nodes pull and lose, from JetStream.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream  = "STOWAGE_EVENTS"
	subject = "stowage.event.*.image.*"
	types   = "io.stowage.node.v1."
	// How long JetStream waits for an acknowledgement before it delivers again.
	ackWait    = 30 * time.Second
	remembered = 10_000
)

// event is the envelope of CloudEvents 1.0 in structured JSON, as far as it is read here.
type event struct {
	ID     string          `json:"id"`
	Source string          `json:"source"`
	Type   string          `json:"type"`
	Time   time.Time       `json:"time"`
	Data   json.RawMessage `json:"data"`
}

type imagePulled struct {
	Reference string `json:"reference"`
}

type imageRemoved struct {
	ImageID string `json:"imageId"`
	Reason  string `json:"reason"`
}

// describe gives one line for an event, and none for a type that this program does not know.
func describe(e event) (string, error) {
	parts := strings.Split(e.Source, "/") // /nodes/<node>/<app>
	if len(parts) != 4 {
		return "", fmt.Errorf("source %q", e.Source)
	}
	at := e.Time.Format(time.RFC3339Nano)
	switch strings.TrimPrefix(e.Type, types) {
	case "ImagePulled":
		var data imagePulled
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s pulled %s", at, parts[2], data.Reference), nil
	case "ImageRemoved":
		var data imageRemoved
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s removed %s: %s", at, parts[2], data.ImageID, data.Reason), nil
	}
	return "", nil
}

// handled holds the ids of the last events: delivery is at least once. Keep them in a database where
// handling an event twice does harm.
type handled struct {
	ids   map[string]bool
	order []string
}

func (h *handled) add(id string) (isNew bool) {
	if h.ids[id] {
		return false
	}
	h.ids[id] = true
	h.order = append(h.order, id)
	if len(h.order) > remembered {
		delete(h.ids, h.order[0])
		h.order = h.order[1:]
	}
	return true
}

func (h *handled) handle(message jetstream.Msg) error {
	var e event
	line := ""
	err := json.Unmarshal(message.Data(), &e)
	if err == nil {
		line, err = describe(e)
	}
	if err != nil {
		// Not an event of this version: it would not be better the next time.
		log.Printf("left out one message on %s: %v", message.Subject(), err)
		return message.Term()
	}
	if h.add(e.ID) && line != "" {
		fmt.Println(line)
	}
	return message.Ack()
}

// read goes on where this durable name was, until the context ends or something is in the way.
func read(ctx context.Context, js jetstream.JetStream, durable string, h *handled) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       durable,
		FilterSubject: subject,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		message, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := h.handle(message); err != nil {
			return err
		}
	}
}

func main() {
	server := flag.String("nats", nats.DefaultURL, "server, with the login")
	durable := flag.String("durable", "", "name under which JetStream remembers how far was read")
	flag.Parse()
	if *durable == "" {
		fmt.Fprintln(os.Stderr, "-durable is wanted: the name under which JetStream remembers how far was read")
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	connection, err := nats.Connect(*server, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		log.Fatal(err)
	}
	seen := &handled{ids: map[string]bool{}}
	for ctx.Err() == nil {
		if err := read(ctx, js, *durable, seen); err != nil && ctx.Err() == nil {
			log.Printf("waiting for the stream %s: %v", stream, err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}
