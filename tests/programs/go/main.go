// SPDX-License-Identifier: MIT

// fpgo serve|get|udp|any: a server and clients of Go's own network code, with ports that are written into them.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// serve answers HTTP and datagrams on 8080 with NAME, until it is ended.
func serve(name string) {
	listener, err := net.Listen("tcp", ":8080")
	check(err)
	packets, err := net.ListenPacket("udp", "127.0.0.1:8080")
	check(err)
	fmt.Println("serving", listener.Addr(), packets.LocalAddr())
	go func() {
		buffer := make([]byte, 64)
		for {
			n, from, err := packets.ReadFrom(buffer)
			check(err)
			_, err = packets.WriteTo([]byte(name+" "+string(buffer[:n])), from)
			check(err)
		}
	}()
	check(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, name)
	})))
}

func get() string {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 15 * time.Second}
		response, err := client.Get("http://localhost:8080/")
		if err != nil && time.Now().Before(end) {
			continue
		}
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		response.Body.Close()
		return string(body)
	}
}

// hundred asks with so many connections at once.
func hundred() {
	answers := map[string]int{}
	var lock sync.Mutex
	var all sync.WaitGroup
	get()
	for i := 0; i < 100; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			answer := get()
			lock.Lock()
			answers[answer]++
			lock.Unlock()
		}()
	}
	all.Wait()
	for answer, count := range answers {
		fmt.Printf("%d %s", count, answer)
	}
}

// udp asks with a socket that is not connected, and one that is.
func udp() {
	server := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(err)
	buffer := make([]byte, 64)
	_, err = socket.WriteTo([]byte("one"), server)
	check(err)
	socket.SetDeadline(time.Now().Add(15 * time.Second))
	n, from, err := socket.ReadFrom(buffer)
	check(err)
	fmt.Println(string(buffer[:n]), "from", from)
	connected, err := net.DialUDP("udp", nil, server)
	check(err)
	_, err = connected.Write([]byte("two"))
	check(err)
	n, err = connected.Read(buffer)
	check(err)
	fmt.Println(string(buffer[:n]), "from", connected.RemoteAddr())
}

// any binds to port 0, twice.
func any() {
	one, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	two, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(one.Addr(), two.Addr())
}

// refused asks where nobody is.
func refused() {
	_, err := net.DialTimeout("tcp", "127.0.0.1:8081", 5*time.Second)
	var operation *net.OpError
	fmt.Println(errors.As(err, &operation), err)
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "get":
		fmt.Print(get())
	case "hundred":
		hundred()
	case "udp":
		udp()
	case "any":
		any()
	case "refused":
		refused()
	}
}
