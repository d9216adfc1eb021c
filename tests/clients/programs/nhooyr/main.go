// Go's nhooyr.io/websocket, which is github.com/coder/websocket by now: see ../__init__.py.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"

	"nhooyr.io/websocket"
)

func main() {
	options := &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover}
	if version, given := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Getenv("CLIENT_TLS")]; given {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{MinVersion: version, MaxVersion: version}
		options.HTTPClient = &http.Client{Transport: transport}
	}
	always := context.Background()
	socket, answer, err := websocket.Dial(always, os.Args[1], options)
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	socket.SetReadLimit(1 << 24)
	fmt.Println("open", answer.Header.Get("Sec-WebSocket-Extensions"))
	go func() {
		input := bufio.NewReader(os.Stdin)
		for {
			line, err := input.ReadBytes('\n')
			if err != nil {
				socket.Close(websocket.StatusNormalClosure, "")
				return
			}
			socket.Write(always, websocket.MessageText, line[:len(line)-1])
		}
	}()
	for {
		_, data, err := socket.Read(always)
		if closed := (websocket.CloseError{}); errors.As(err, &closed) {
			fmt.Println("closed", int(closed.Code), closed.Reason)
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
