package node

// Unsaved returns how many bytes of results a counts that wait for a checkpoint, and how
// many there are.
func (a *Applier) Unsaved() (counted, held int) {
	for _, h := range a.clients {
		for _, f := range h.fresh {
			held += len(f.record.result)
		}
	}
	return a.unsaved, held
}
