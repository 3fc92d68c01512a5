package ledger

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// cannedConn answers each request that is written with the same bytes: what calls cost
// here, without a Redis. The first, HELLO, it does not know, as an old Redis.
type cannedConn struct {
	net.Conn // nil: no other method is called
	reply    []byte
	greeted  bool
	asked    bool
	unread   []byte
}

func (c *cannedConn) Write(p []byte) (int, error) {
	c.asked = true
	return len(p), nil
}

// Read has the answer to all that was written before it: go-redis writes a pipeline as
// a whole before it reads.
func (c *cannedConn) Read(p []byte) (int, error) {
	if c.asked {
		c.asked, c.unread = false, c.reply
		if !c.greeted {
			c.greeted, c.unread = true, []byte("-ERR unknown command 'HELLO'\r\n")
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *cannedConn) Close() error                     { return nil }
func (c *cannedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *cannedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *cannedConn) SetDeadline(time.Time) error      { return nil }
func (c *cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *cannedConn) SetWriteDeadline(time.Time) error { return nil }

// chunkOf is a chunk of 1,000 keys of one minute and the batch that seals them, as a
// call of 50,000 has fifty.
func chunkOf() (keys []leadevents.Key, p *plan, tokens []leadevents.BatchID) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		keys = append(keys, leadevents.Key{Org: 42, EventType: "webinar_attended", Phone: leadevents.Phone(10_000_000_000 + random.Uint64N(90_000_000_000)), OccurredAt: 1_760_000_000_000 + leadevents.Millis(random.IntN(60_000))})
		tokens = append(tokens, 7)
	}
	return keys, testLayout(26, 3).plan(keys, 1000), tokens
}

// cannedLedger is one whose Redis answers always the same.
func cannedLedger(b *testing.B, reply []byte) *Ledger {
	quiet()
	l := &Ledger{cfg: Config{Prefix: "p:"}}
	l.data = redis.NewClient(&redis.Options{
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return &cannedConn{reply: reply}, nil },
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 1, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	})
	b.Cleanup(func() {
		if err := l.data.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// BenchmarkPeekChunk encodes a peek at 1,000 keys and decodes its answer, in which half
// of them are sealed.
func BenchmarkPeekChunk(b *testing.B) {
	_, p, tokens := chunkOf()
	trust := &Trust{Epoch: "epoch"}
	var reply bytes.Buffer
	for _, bucket := range p.buckets {
		fmt.Fprintf(&reply, "*%d\r\n", bucket.end-bucket.start)
		for i := bucket.start; i < bucket.end; i++ {
			if i%2 == 0 {
				fmt.Fprintf(&reply, "$8\r\n%s\r\n", token(tokens[0]))
			} else {
				reply.WriteString("$-1\r\n")
			}
		}
	}
	stats := "# Stats\r\nevicted_keys:0\r\n"
	fmt.Fprintf(&reply, "$%d\r\n%s\r\n*2\r\n$10\r\n1760000000\r\n$6\r\n123456\r\n$%d\r\n%s\r\n", len(trust.Epoch), trust.Epoch, len(stats), stats)
	l, owners := cannedLedger(b, reply.Bytes()), make([]leadevents.BatchID, 1000)
	peek := func() {
		now, err := l.readChunk(b.Context(), trust, p, p.buckets, owners)
		if err != nil || now != 1_760_000_000_123 || owners[p.order[0]] != 7 || owners[p.order[1]] != 0 {
			b.Fatal(now, owners[p.order[0]], owners[p.order[1]], err)
		}
	}
	peek() // connects
	b.ReportAllocs()
	for b.Loop() {
		peek()
	}
}

// BenchmarkSealChunk encodes a seal of 1,000 keys and decodes its answer, which says
// that one of them is another's.
func BenchmarkSealChunk(b *testing.B) {
	keys, p, tokens := chunkOf()
	l := cannedLedger(b, fmt.Appendf(nil, "*4\r\n$2\r\nOK\r\n:1760000000123\r\n:1\r\n$8\r\n%s\r\n", token(8)))
	owners := make([]leadevents.BatchID, 1000)
	on := terms{epoch: "epoch", earliest: 1_760_000_000_000, latest: 1_760_000_030_000, keep: time.Hour}
	seal := func() {
		contests, err := l.sealChunk(b.Context(), on, keys, tokens, p, p.buckets, owners)
		if err != nil || len(contests) != 1 || owners[p.order[0]] != 8 || owners[p.order[1]] != 7 {
			b.Fatal(contests, err)
		}
	}
	seal() // connects
	b.ReportAllocs()
	for b.Loop() {
		seal()
	}
}
