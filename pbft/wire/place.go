package wire

// Place returns the view and the number that e's statements are for; either is
// 0 where the kind of message has none. e must have passed Check(n).
func (e *Evidence) Place(n int) (View, Seq) {
	m, err := e.First.parse(&Limits{Replicas: n, Window: NumberMax})
	if err != nil {
		return 0, 0
	}
	at := placeOf(m)
	return at.view, at.seq
}
