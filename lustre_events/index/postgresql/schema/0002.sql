-- Version 2. Rows that were tried in vain, to be forgiven all at once when an extractor is suspended.
CREATE INDEX pending_tried ON pending (extractor) WHERE attempts > 0;
