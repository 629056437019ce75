// Shows the tallies of polls in a terminal, through deploys and lost connections. Needs the package github.com/gorilla/websocket.
//
//	go run client.go "wss://vote.example.org/ws?poll=cats-or-dogs"
package main

import (
	"errors"
	"fmt"
	"math/rand"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

type frame struct {
	Type, Poll            string
	Epoch, Version, Total int64
	CloseAfterMs          float64
}

var (
	address = os.Args[1]
	dialer  = websocket.Dialer{Subprotocols: []string{"livetally.v1.1", "livetally.v1"}, HandshakeTimeout: 10 * time.Second}
	mutex   sync.Mutex             // for two feeds at once, while one takes over
	shown   = map[string][2]int64{} // the newest (epoch, version) of each poll
	running sync.WaitGroup
)

// show prints a tally, unless it is older than what was shown, and the end of a poll.
func show(f frame) {
	mutex.Lock()
	defer mutex.Unlock()
	if f.Type == "gone" {
		fmt.Println("gone", f.Poll)
	}
	last, known := shown[f.Poll]
	isNewer := !known || f.Epoch > last[0] || f.Epoch == last[0] && f.Version > last[1]
	if f.Type == "tally" && isNewer {
		shown[f.Poll] = [2]int64{f.Epoch, f.Version}
		fmt.Println("tally", f.Poll, f.Epoch, f.Version, f.Total)
	}
}

// random returns a span between zero and the given number of seconds.
func random(seconds float64) time.Duration {
	return time.Duration(rand.Float64() * seconds * float64(time.Second))
}

// read shows what the feed says until it ends, and leaves the old feed at its first tally. It says whether another one takes over.
func read(feed, old *websocket.Conn) (isReplaced bool, code int) {
	defer feed.Close()
	for {
		var f frame
		feed.SetReadDeadline(time.Now().Add(35 * time.Second)) // a server says something every 15 s
		if err := feed.ReadJSON(&f); err != nil {
			var end *websocket.CloseError
			if errors.As(err, &end) {
				return isReplaced, end.Code
			}
			return isReplaced, websocket.CloseAbnormalClosure
		}
		show(f)
		if old != nil && (f.Type == "tally" || f.Type == "gone") {
			done := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			old.WriteControl(websocket.CloseMessage, done, time.Now().Add(time.Second))
			old = nil
		}
		if f.Type == "drain" && !isReplaced { // the server leaves: another connection, while this one goes on
			isReplaced = true
			running.Add(1)
			go follow(feed, random(min(f.CloseAfterMs/4000, 2)))
		}
	}
}

// follow connects until a server says that there is nothing to follow, or until another connection takes over.
func follow(old *websocket.Conn, wait time.Duration) {
	defer running.Done()
	for tries := 0; ; {
		time.Sleep(wait)
		began, isReplaced, code := time.Now(), false, websocket.CloseAbnormalClosure
		if feed, _, err := dialer.Dial(address, nil); err == nil {
			isReplaced, code = read(feed, old)
		}
		if isReplaced {
			return
		}
		if code >= 4400 && code <= 4499 { // final
			parsed, _ := url.Parse(address)
			for _, poll := range parsed.Query()["poll"] {
				show(frame{Type: "gone", Poll: poll})
			}
			return
		}
		first, longest := 0.25, 10.0 // seconds
		if code == websocket.CloseTryAgainLater {
			first, longest = 2, 30
		}
		if time.Since(began) > 5*time.Second {
			tries = 0
		}
		wait = random(min(longest, first*float64(int64(1)<<min(tries, 10))))
		tries++
	}
}

func main() {
	running.Add(1)
	follow(nil, 0)
	running.Wait()
}
