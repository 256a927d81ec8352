// delay stands between a client and a registry on loopback and puts a round trip
// between them, without limiting what goes through.
//
//	delay --to 127.0.0.1:5000 --rtt 50ms
//
// Prints the address it listens on. Each byte arrives half a round trip after it
// was sent, in both directions; the first one of a connection a whole round trip
// later than that, because a handshake comes before it. What is on its way is
// kept in memory, at most 64 MiB in each direction of a connection. On a line on
// its standard input it prints what went through since the last one, as JSON;
// at the end of its standard input it ends.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A piece of a stream, and when it may arrive.
type piece struct {
	bytes []byte
	due   time.Time
}

const (
	pieceSize = 64 << 10
	onTheWay  = 1024 // pieces
)

var connections, sent, received atomic.Int64

func main() {
	to := flag.String("to", "", "the registry, host:port")
	rtt := flag.Duration("rtt", 0, "the round-trip time")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go accept(listener, *to, *rtt)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		figures := map[string]int64{
			"connections": connections.Swap(0),
			"sent":        sent.Swap(0),
			"received":    received.Swap(0),
		}
		if err := json.NewEncoder(os.Stdout).Encode(figures); err != nil {
			log.Fatal(err)
		}
	}
}

func accept(listener net.Listener, to string, rtt time.Duration) {
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		connections.Add(1)
		go serve(client, to, rtt, time.Now())
	}
}

func serve(client net.Conn, to string, rtt time.Duration, opened time.Time) {
	registry, err := net.Dial("tcp", to)
	if err != nil {
		client.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		// A handshake is over one round trip after it began, and nothing leaves before.
		carry(client, registry, rtt/2, opened.Add(rtt), &sent)
	})
	both.Go(func() { carry(registry, client, rtt/2, opened, &received) })
	both.Wait()
	client.Close()
	registry.Close()
}

// carry moves bytes from one to the other; none counts as sent before `from`.
func carry(in, out net.Conn, delay time.Duration, from time.Time, count *atomic.Int64) {
	way := make(chan piece, onTheWay)
	go func() {
		defer close(way)
		for {
			buffer := make([]byte, pieceSize)
			n, err := in.Read(buffer)
			if n > 0 {
				count.Add(int64(n))
				left := time.Now()
				if left.Before(from) {
					left = from
				}
				way <- piece{buffer[:n], left.Add(delay)}
			}
			if err != nil {
				way <- piece{nil, time.Now().Add(delay)}
				return
			}
		}
	}()
	broken := false
	for it := range way {
		time.Sleep(time.Until(it.due))
		if broken {
			continue
		}
		if it.bytes == nil {
			out.(*net.TCPConn).CloseWrite()
		} else if _, err := out.Write(it.bytes); err != nil && err != io.EOF {
			broken = true
			in.Close()
		}
	}
}
