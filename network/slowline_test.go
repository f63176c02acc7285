package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// lineStream is a stream that reads from any connection.
type lineStream struct {
	network.Stream

	line net.Conn
}

func (s lineStream) Read(p []byte) (int, error)        { return s.line.Read(p) }
func (s lineStream) SetReadDeadline(t time.Time) error { return s.line.SetReadDeadline(t) }

// TestALongFrameMayTakeLonger sends frames over slow lines: a long one takes longer than
// the time that a short one has, and is read if the line is as fast as a writer must find it.
func TestALongFrameMayTakeLonger(t *testing.T) {
	const size, timeout = 1 << 20, 10 * time.Second
	for name, line := range map[string]struct {
		perSecond int
		slow      bool
	}{
		"1MBitPerSecond":  {125_000, false},
		"100KBitASecond":  {12_500, false},
		"SlowerThanToBe":  {9_000, true},
		"AByteEachSecond": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				frame := bytes.Repeat([]byte{7}, size)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					left := append(binary.BigEndian.AppendUint32(nil, size), frame...)
					for len(left) > 0 {
						n, err := there.Write(left[:min(line.perSecond, len(left))])
						if err != nil {
							return // the reader gave up
						}
						left = left[n:]
						<-time.After(time.Second)
					}
				}()
				r := newFrameReader(lineStream{line: here}, size, timeout)
				got, err := r.next()
				if line.slow != errors.Is(err, errFrameSlow) || !line.slow && !bytes.Equal(got, frame) {
					t.Errorf("got %d bytes, %v; want slow: %v", len(got), err, line.slow)
				}
				if err := errors.Join(here.Close(), there.Close()); err != nil {
					t.Error(err)
				}
				<-ended
			})
		})
	}
}
