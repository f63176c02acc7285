package sim

import "github.com/quorate/quorate/pbft/wire"

// parcel is a message on its way. Most of what happens in a run is the arrival of
// one, so they are used again, each with its own function for the agenda: a
// closure for every message was a tenth of all that was allocated.
type parcel struct {
	from, to *node
	life     int // of the receiver, if it is the sender itself
	id       uint64
	sealed   *wire.Sealed
	load     *int // of its link, which it leaves
	arrive   func()
}

// parcel returns one that is free.
func (w *world) parcel(from, to *node, sealed *wire.Sealed) *parcel {
	var p *parcel
	if last := len(w.parcels) - 1; last >= 0 {
		p, w.parcels = w.parcels[last], w.parcels[:last]
	} else {
		p = &parcel{}
		p.arrive = func() { w.arrived(p) }
	}
	p.from, p.to, p.life, p.sealed = from, to, to.life, sealed
	return p
}

// arrived hands over what p carried.
func (w *world) arrived(p *parcel) {
	one := *p
	p.from, p.to, p.sealed, p.load = nil, nil, nil, nil
	w.parcels = append(w.parcels, p)
	if one.load != nil {
		*one.load--
	}
	if one.from == one.to {
		one.to.receive(one.life, one.from.id, 0, one.sealed)
		return
	}
	w.deliver(one.from, one.to, one.id, one.sealed)
}

// opened is what the opener made of a message.
type opened struct {
	sealed   *wire.Sealed
	unsigned *wire.Unsigned // a proposal that its primary signed, and nobody a request in it
	err      error
}

// open takes a message through its encoding: once, however many receive it.
func (w *world) open(sealed *wire.Sealed) (*wire.Sealed, error) {
	o := w.opening(sealed)
	return o.sealed, o.err
}

func (w *world) opening(sealed *wire.Sealed) opened {
	o, known := w.openings[sealed]
	if !known {
		got := w.opener.Open([][]byte{sealed.Frame()})[0]
		o = opened{got.Sealed, got.Unsigned, got.Err}
		if w.openings == nil || len(w.openings) >= openingsMax {
			w.openings = map[*wire.Sealed]opened{}
		}
		w.openings[sealed] = o
	}
	return o
}

// openingsMax bounds what is remembered of openings.
const openingsMax = 1024
