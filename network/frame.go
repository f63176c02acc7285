package network

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/network/internal/outbox"
)

// lengthBytes precede every frame.
const lengthBytes = 4

var (
	errFrameSize   = errors.New("frame of a length that is not allowed")
	errFrameSlow   = errors.New("frame not completed in time")
	errNotReading  = errors.New("the other side did not read in time")
	errUnexpected  = errors.New("data where none may come")
	errStreamEnded = errors.New("the other side ended the stream")
)

// frameReader reads frames from a stream. One goroutine uses it.
type frameReader struct {
	stream  network.Stream
	buf     *bufio.Reader
	max     int
	timeout time.Duration
}

func newFrameReader(s network.Stream, bytesMax int, timeout time.Duration) *frameReader {
	return &frameReader{stream: s, buf: bufio.NewReaderSize(s, bufferBytes), max: bytesMax, timeout: timeout}
}

// next returns the next frame, which is the caller's. It waits for ever for its
// first byte, and for the rest no longer than the timeout, or than the other side may
// take to write it if it is long (N3).
func (r *frameReader) next() ([]byte, error) {
	if _, err := r.buf.Peek(1); err != nil {
		return nil, err
	}
	whole, err := r.whole()
	if err != nil {
		return nil, err
	}
	if whole {
		return r.read()
	}
	if err := r.stream.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
		return nil, err
	}
	frame, err := r.read()
	if timedOut(err) {
		return nil, fmt.Errorf("%w: %s for each %d KiB", errFrameSlow, r.timeout, writeBytesMax>>10)
	}
	if err != nil {
		return nil, err
	}
	return frame, r.stream.SetReadDeadline(time.Time{})
}

// whole tells whether all of a frame is buffered: then it needs no deadline,
// and most frames are small and come many at once.
func (r *frameReader) whole() (bool, error) {
	if r.buf.Buffered() < lengthBytes {
		return false, nil
	}
	head, err := r.buf.Peek(lengthBytes)
	if err != nil {
		return false, err
	}
	size, err := r.size(head)
	return r.buf.Buffered() >= lengthBytes+size, err
}

func (r *frameReader) size(head []byte) (int, error) {
	size := binary.BigEndian.Uint32(head)
	if size == 0 || uint64(size) > uint64(r.max) {
		return 0, fmt.Errorf("%w: %d bytes, allowed are 1 to %d", errFrameSize, size, r.max)
	}
	return int(size), nil
}

// read reads a frame; what is allocated grows with what has come in (N2).
func (r *frameReader) read() ([]byte, error) {
	head, err := r.buf.Peek(lengthBytes)
	if err != nil {
		return nil, err
	}
	size, err := r.size(head)
	if err != nil {
		return nil, err
	}
	if _, err := r.buf.Discard(lengthBytes); err != nil {
		return nil, err
	}
	if more := size / writeBytesMax; more > 0 {
		if err := r.stream.SetReadDeadline(time.Now().Add(time.Duration(1+more) * r.timeout)); err != nil {
			return nil, err
		}
	}
	frame := make([]byte, min(size, growBytes))
	for have := 0; ; {
		if _, err := io.ReadFull(r.buf, frame[have:]); err != nil {
			return nil, err
		}
		have = len(frame)
		if have == size {
			return frame, nil
		}
		larger := make([]byte, min(size, 4*have))
		copy(larger, frame)
		frame = larger
	}
}

// frameWriter writes frames to a stream, buffered. One goroutine uses it.
type frameWriter struct {
	stream  network.Stream
	buf     *bufio.Writer
	timeout time.Duration
}

func newFrameWriter(s network.Stream, timeout time.Duration) *frameWriter {
	w := &frameWriter{stream: s, timeout: timeout}
	w.buf = bufio.NewWriterSize(w, bufferBytes)
	return w
}

// Write passes p to the stream in pieces, each with a deadline of its own.
func (w *frameWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := w.stream.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return n, err
		}
		k, err := w.stream.Write(p[n:min(len(p), n+writeBytesMax)])
		n += k
		if timedOut(err) {
			return n, fmt.Errorf("%w: %s", errNotReading, w.timeout)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w *frameWriter) put(frame []byte) error {
	length := uint32(len(frame)) //nolint:gosec // Send and Answer check it against FrameBytesMax
	if _, err := w.buf.Write(binary.BigEndian.AppendUint32(w.buf.AvailableBuffer(), length)); err != nil {
		return err
	}
	_, err := w.buf.Write(frame)
	return err
}

// pump writes what q holds and will hold, until done is closed, and flushes
// whenever nothing waits. Before it does, it lets those run who are ready to: they may
// have more for the same write, and a write costs as much as making a frame. Where
// nobody is ready, that takes no time.
func (w *frameWriter) pump(q *outbox.Queue, done <-chan struct{}) error {
	for {
		frame, ok := q.Pop()
		if !ok && w.buf.Buffered() > 0 {
			runtime.Gosched()
			frame, ok = q.Pop()
		}
		if ok {
			if err := w.put(frame); err != nil {
				return err
			}
			continue
		}
		if err := w.buf.Flush(); err != nil {
			return err
		}
		select {
		case <-q.Ready():
		case <-done:
			return nil
		}
	}
}

// timedOut tells whether err is that of a deadline. yamux has one of its own,
// which is not os.ErrDeadlineExceeded.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
