-- migrate:up

-- A notice may be told by mail, and taken back while it waits to be sent.
ALTER TABLE notice
    DROP CONSTRAINT notice_channel_check,
    ADD CONSTRAINT notice_channel_check CHECK (channel IN ('api', 'mail'));
ALTER TABLE message
    DROP CONSTRAINT message_state_check,
    ADD CONSTRAINT message_state_check CHECK (
        state IN ('queued', 'sending', 'sent', 'failed', 'given_up', 'withdrawn')
    );
