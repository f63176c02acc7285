package journal

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func TestEveryRecordHasOneEncoding(t *testing.T) {
	limits := wire.DefaultLimits(4)
	for _, want := range allRecords() {
		payload, err := encodeRecord(nil, want)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		got, err := decodeRecord(payload, &limits)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if diff := cmp.Diff(got, want, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%T (-got +want):\n%s", want, diff)
		}
		for cut := range payload {
			if r, err := decodeRecord(payload[:cut], &limits); err == nil {
				t.Errorf("%T cut to %d of %d bytes reads as %v", want, cut, len(payload), r)
			}
		}
		if r, err := decodeRecord(append(payload, 0), &limits); err == nil {
			t.Errorf("%T with a byte more reads as %v", want, r)
		}
	}
}

func TestFramesUnderAnotherTagAreRefused(t *testing.T) {
	limits := wire.DefaultLimits(4)
	for _, r := range allRecords() {
		payload, err := encodeRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		for tag := range byte(20) {
			forged := bytes.Clone(payload)
			forged[0] = tag
			got, err := decodeRecord(forged, &limits)
			if err == nil && tag != payload[0] {
				t.Errorf("%T under tag %d reads as %T", r, tag, got)
			}
		}
	}
	ask := append([]byte{tagAccepted}, wire.Encode(&wire.Ask{Nonce: 1})...)
	if r, err := decodeRecord(ask, &limits); err == nil {
		t.Errorf("a message that is no record reads as %v", r)
	}
}

// The layout of docs/STORAGE.md, byte by byte.
func TestFixedRecordsHaveTheDocumentedBytes(t *testing.T) {
	for want, r := range map[string]core.Record{
		"\x01\x00\x00\x00\x00\x00\x00\x01\x02\x01": core.ViewRecord{View: 258, Active: true},
		"\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x08": core.RejoinRecord{
			Open: true, Until: 7, View: 8,
		},
		"\x0e\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x01\x03": core.ReservationRecord{
			View: 9, Seq: 259,
		},
		"\x0f\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x01\x03" + "\xd1" + strings.Repeat("\x00", 30) + "\xd2" +
			"\x00\x00\x00\x02" + "\xe1" + strings.Repeat("\x00", 62) + "\xe2": core.VotedRecord{Vote: wire.Vote{
			View: 9, Seq: 259, Digest: crypto.Digest{0xd1, 31: 0xd2}, Sender: 2, Signature: crypto.Signature{0xe1, 63: 0xe2},
		}},
	} {
		got, err := encodeRecord(nil, r)
		if err != nil || string(got) != want {
			t.Errorf("%#v = %x, %v, want %x", r, got, err, want)
		}
	}
}

func TestHeaderAndMarkHaveTheDocumentedBytes(t *testing.T) {
	h := header{
		id: Identity{Cluster: crypto.Digest{0xc1, 31: 0xc2}, Epoch: 3, Replica: 4}, base: true, serial: 5, first: 6,
		chain: link{0xa1, 15: 0xa2}, salt: [16]byte{0x51, 15: 0x52}, bytes: 8192, durable: 1024,
	}
	want := "quorjrnl" + "\x00\x00\x00\x01" + "\x00\x00\x00\x01" +
		"\xc1" + strings.Repeat("\x00", 30) + "\xc2" + "\x00\x00\x00\x00\x00\x00\x00\x03" + "\x00\x00\x00\x04" +
		"\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00\x00\x00\x06" +
		"\xa1" + strings.Repeat("\x00", 14) + "\xa2" + "\x51" + strings.Repeat("\x00", 14) + "\x52" +
		"\x00\x00\x00\x00\x00\x00\x20\x00" + "\x00\x00\x00\x00\x00\x00\x04\x00" + strings.Repeat("\x00", 384)
	got := h.encode()
	if string(got[:508]) != want || len(got) != 512 {
		t.Errorf("header = %x, want %x", got, want)
	}
	if parsed, err := parseHeader(got); err != nil || parsed != h {
		t.Errorf("header reads as %+v, %v", parsed, err)
	}
	m := mark{magic: flushMagic, number: 1, index: 2, offset: 512, chain: link{0xa1, 15: 0xa2}}
	want = "\xf1\xa5\x00\x01" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x00\x00\x00\x00\x00\x02\x00" +
		"\xa1" + strings.Repeat("\x00", 14) + "\xa2"
	keyed := crypto.Sum(h.salt[:], []byte(want))
	if got := m.appendTo(nil, h.salt); string(got) != want+string(keyed[:16]) {
		t.Errorf("mark = %x, want %x", got, want)
	}
	chain := "\xa1" + strings.Repeat("\x00", 14) + "\xa2"
	sum := binary.BigEndian.AppendUint32(nil, checksum([]byte("\x00\x00\x00\x07"+chain+"payload")))
	want = "\x00\x00\x00\x07" + string(sum) + chain + "payload" + "\x00"
	if record := appendRecord(nil, []byte("payload"), m.chain); string(record) != want {
		t.Errorf("record = %x, want %x", record, want)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range allRecords() {
		payload, err := encodeRecord(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	limits := wire.DefaultLimits(4)
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := decodeRecord(payload, &limits)
		if err != nil {
			return
		}
		again, err := encodeRecord(nil, r)
		if err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%x reads as %#v, which is %x, %v", payload, r, again, err)
		}
	})
}
