// SPDX-License-Identifier: MIT

package two

import (
	"net"
	"testing"
	"time"
)

// Each package's test has the same port written into it, and keeps it for a while.
func TestPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	listener.Close()
}
