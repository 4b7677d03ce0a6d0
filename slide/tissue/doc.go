package tissue
