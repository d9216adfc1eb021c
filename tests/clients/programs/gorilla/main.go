// Go's gorilla/websocket: see ../__init__.py.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	dialer := websocket.Dialer{EnableCompression: true}
	if version, given := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Getenv("CLIENT_TLS")]; given {
		dialer.TLSClientConfig = &tls.Config{MinVersion: version, MaxVersion: version}
	}
	socket, answer, err := dialer.Dial(os.Args[1], nil)
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	fmt.Println("open", answer.Header.Get("Sec-WebSocket-Extensions"))
	go func() {
		input := bufio.NewReader(os.Stdin)
		for {
			line, err := input.ReadBytes('\n')
			if err != nil {
				goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
				socket.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
				return
			}
			socket.WriteMessage(websocket.TextMessage, line[:len(line)-1])
		}
	}()
	for {
		_, data, err := socket.ReadMessage()
		if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) {
			fmt.Println("closed", closed.Code, closed.Text)
			return
		} else if err != nil {
			fmt.Println("failed", err)
			return
		}
		text := ""
		if len(data) < 2000 {
			text = string(data)
		}
		fmt.Printf("message %d %x %s\n", len(data), sha256.Sum256(data), text)
	}
}
