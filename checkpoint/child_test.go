package checkpoint

func openInChild() bool { return false }
