"""What is shown of the daemon and of the job servers over HTTP. Floor 3; it never imports supervisor or worker."""
