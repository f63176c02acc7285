package node

// BoundUnsaved has a bound the results that wait for a checkpoint by so many bytes.
func (a *Applier) BoundUnsaved(bytes int) { a.unsavedMax = bytes }

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
